"""`zoo list`: what it shows, in what order, on how wide a terminal, and where there is nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from zoo.hub.listing import Order, Row, ordered

from .conftest import Run


def test_a_listing_can_be_sorted_by_accuracy_and_by_parameters_what_nobody_knows_last() -> None:
    rows = [
        Row(name, "digits", parameters, top1, "mit", None, "zoo-x", installed=True)
        for name, parameters, top1 in (("a", 3, None), ("b", None, 91.0), ("c", 1, 92.0))
    ]
    assert [row.name for row in ordered(rows[::-1], Order.NAME)] == ["a", "b", "c"]
    assert [row.name for row in ordered(rows, Order.TOP1)] == ["c", "b", "a"]
    assert [row.name for row in ordered(rows, Order.PARAMETERS)] == ["c", "a", "b"]


def test_the_command_sorts_too(run_here: Run) -> None:
    rows = json.loads(run_here("list", "resnet*", "--sort", "parameters", "--json").stdout)
    assert [row["parameters"] for row in rows] == sorted(row["parameters"] for row in rows)
    finished = run_here("list", "--sort", "size")
    assert finished.returncode == 2
    assert "'name', 'top1', 'parameters'" in finished.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnt20_cifar10"], "the zoo has no model 'resnt20_cifar10'; did you mean resnet20_cifar10 or "),
        (["nosuch"], "the zoo has no model 'nosuch'; zoo list shows all"),
        (["--dataset", "cifar"], "the zoo has no models on a data set 'cifar'; did you mean cifar10 or cifar100?"),
        (["--hub", "file:nosuch"], "file:nosuch has no models, and there is no such folder; push one there with"),
        (["plain20*", "--pretrained"], "the zoo has no model named 'plain20*' with weights; leave out one of these"),
    ],
)
def test_nothing_to_list_is_one_line_with_close_names_and_exit_1(run_here: Run, words: list[str], message: str) -> None:
    finished = run_here("list", *words)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith(f"zoo: {message}")
    assert finished.stderr.count("\n") == 1


def on_a_terminal(columns: int, *words: str) -> list[str]:
    """What a command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    finished = subprocess.run([sys.executable, "-m", "zoo", *words], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    text = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # all is read, and nobody writes any more
            break
        text += read
    os.close(ours)
    assert finished.returncode == 0
    return re.sub(r"\x1b\[[\d;]*m", "", text.decode()).splitlines()


@pytest.mark.parametrize(
    ("columns", "header", "row"),
    [
        (40, ["model", "top-1"], ["resnet20_cifar10", "92.44%"]),
        (120, ["model", "parameters", "top-1", "license", "weights"], None),
    ],
)
def test_a_terminal_shows_the_columns_that_fit_it(columns: int, header: list[str], row: list[str] | None) -> None:
    lines = on_a_terminal(columns, "list", "resnet20_cifar*")
    assert all(len(line) <= columns for line in lines)
    words = [line.split() for line in lines]
    assert header in words
    assert row is None or row in words
