// Sort and filter the table of models. It works from a file, without any request.
"use strict";

const table = document.getElementById("models");
const rows = [...table.tBodies[0].rows];
const heads = [...table.tHead.rows[0].cells];
const [text, dataset, count] = ["text", "dataset", "count"].map((id) => document.getElementById(id));

// Models without a value come last, in both orders.
function compared(left, right, sign) {
  if (left === "" || right === "") return (left === "") - (right === "");
  const difference = Number.isNaN(Number(left) - Number(right)) ? left.localeCompare(right) : left - right;
  return sign * difference;
}

function sort(column) {
  const isUp = heads[column].ariaSort === "ascending";
  const isNumber = heads[column].classList.contains("number");
  const order = heads[column].ariaSort ? (isUp ? "descending" : "ascending") : isNumber ? "descending" : "ascending";
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((left, right) => compared(left.cells[column].dataset.value, right.cells[column].dataset.value, sign));
  table.tBodies[0].append(...rows);
}

function filter() {
  const words = text.value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word)) || (dataset.value && row.dataset.dataset !== dataset.value);
  }
  count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} models`;
}

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
text.addEventListener("input", filter);
dataset.addEventListener("input", filter);
text.form.addEventListener("submit", (event) => event.preventDefault());
filter(); // a browser restores the text of the form when a page is reloaded
