// The table: sorted by what is clicked, filtered by what is typed. Works from a file: it asks nobody for anything.
"use strict";

const table = document.getElementById("models");
const rows = [...table.tBodies[0].rows];
const heads = [...table.tHead.rows[0].cells];
const [text, dataset, count] = ["text", "dataset", "count"].map((id) => document.getElementById(id));

// What has no value stands last, whichever way it is sorted.
function compared(one, other, sign) {
  if (one === "" || other === "") return (one === "") - (other === "");
  const difference = Number.isNaN(Number(one) - Number(other)) ? one.localeCompare(other) : one - other;
  return sign * difference;
}

function sort(column) {
  const isUp = heads[column].ariaSort === "ascending";
  const isNumber = heads[column].classList.contains("number");
  const order = heads[column].ariaSort ? (isUp ? "descending" : "ascending") : isNumber ? "descending" : "ascending";
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((one, other) => compared(one.cells[column].dataset.value, other.cells[column].dataset.value, sign));
  table.tBodies[0].append(...rows);
}

function filter() {
  const words = text.value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const said = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => said.includes(word)) || (dataset.value && row.dataset.dataset !== dataset.value);
  }
  count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} models`;
}

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
text.addEventListener("input", filter);
dataset.addEventListener("input", filter);
text.form.addEventListener("submit", (event) => event.preventDefault());
filter(); // a browser keeps what was typed when a page is opened again
