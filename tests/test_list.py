"""`zoo list` and `zoo.list_models`: patterns, limits, order, terminals and empty results."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.hub.listing import Order, Row, ordered
from zoo.record import store

from .conftest import CHECKOUT, Run


def row(
    name: str, dataset: str, parameters: int | None, top1: float | None, *, weights: str | None = None, **claimed: float
) -> Row:
    return Row(name, dataset, parameters, top1, "mit", weights, "zoo-x", installed=True, **claimed)


def test_a_listing_is_sorted_by_name_weights_accuracy_or_parameters() -> None:
    rows = [
        row("b110_cifar100", "cifar100", 3, None),
        row("b20_cifar100", "cifar100", None, 70.0, weights="catalogue"),
        row("b20_cifar100.me", "cifar100", 2, None, weights="catalogue", claim=71.0),
        row("b20_cifar10", "cifar10", 1, 92.0, weights="catalogue"),
    ]
    orders = {order: [row.name for row in ordered(rows, order)] for order in Order}
    assert orders == {
        Order.NAME: ["b20_cifar10", "b20_cifar100", "b20_cifar100.me", "b110_cifar100"],
        Order.PUBLISHED: ["b20_cifar10", "b20_cifar100", "b20_cifar100.me", "b110_cifar100"],
        Order.TOP1: ["b20_cifar10", "b20_cifar100.me", "b20_cifar100", "b110_cifar100"],
        Order.PARAMETERS: ["b20_cifar10", "b20_cifar100.me", "b110_cifar100", "b20_cifar100"],
    }
    unpublished = row("a", "digits", 1, None)
    assert ordered([unpublished, *rows], Order.PUBLISHED)[-2:] == [unpublished, rows[0]]


def listed(run: Run, *words: str) -> list[str]:
    """The names that `zoo list` prints."""
    finished = run("list", *words)
    assert finished.returncode == 0, finished.stderr
    return [line.partition("\t")[0] for line in finished.stdout.splitlines()[1:]]


def test_one_command_finds_the_best_small_model_of_a_dataset(run_here: Run) -> None:
    records = [store.read_record(path.parent) for path in (CHECKOUT / "hub_cards").glob("*/config.json")]
    small = [record for record in records if record.dataset == "cifar100" and record.parameters <= 1_000_000]
    best = max(small, key=lambda record: record.results.test_top1 if record.results else 0.0).name
    words = ("--dataset", "cifar100", "--max-parameters", "1M", "--sort", "top1")
    assert listed(run_here, *words)[0] == best
    assert zoo.list_models(dataset="cifar100", max_parameters=1_000_000, pretrained=True, sort="top1")[0] == best


@pytest.mark.parametrize("limit", ["270k", "0.27M", "270000", "270,000", "270K"])
def test_the_limit_on_parameters_may_have_a_unit(run_here: Run, limit: str) -> None:
    assert listed(run_here, "resnet*_cifar10", "--max-parameters", limit) == ["resnet20_cifar10"]
    assert zoo.list_models("resnet*_cifar10", max_parameters=270_000) == ["resnet20_cifar10"]


def test_a_pattern_matches_a_whole_name_or_a_prefix_in_any_case(run_here: Run) -> None:
    assert listed(run_here, "resnet20_cifar10") == zoo.list_models("ResNet20_CIFAR10") == ["resnet20_cifar10"]
    assert listed(run_here, "ResNet110") == zoo.list_models("ResNet110")
    assert zoo.list_models("resnet110") == [
        "resnet110_cifar10", "resnet110_cifar100", "resnet110b_cifar10", "resnet110b_cifar100",
    ]  # fmt: skip
    assert zoo.list_models("resnet?_D*") == zoo.list_models(dataset="Digits") == ["resnet8_digits"]


def test_models_with_weights_are_first(run_here: Run) -> None:
    names = listed(run_here)
    published = zoo.list_models(pretrained=True)
    assert names[: len(published)] == published


def test_an_order_that_does_not_exist_is_refused() -> None:
    with pytest.raises(zoo.ZooError, match="sort should be published, name, top1, parameters, not 'size'"):
        zoo.list_models(sort="size")


def test_list_models_lists_a_hub(trained: Path, tmp_path: Path) -> None:
    hub = f"file:{tmp_path}"
    zoo.push(trained, hub=hub)
    assert zoo.list_models("resnet8", hub=hub) == zoo.list_models(hub=hub, sort="top1") == ["resnet8_digits"]
    assert zoo.list_models(hub=hub, pretrained=False) == []


def test_the_command_sorts_by_parameters(run_here: Run) -> None:
    rows = json.loads(run_here("list", "resnet*", "--sort", "parameters", "--json").stdout)
    assert [row["parameters"] for row in rows] == sorted(row["parameters"] for row in rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnt20_cifar10"], "the zoo has no model 'resnt20_cifar10'; did you mean resnet20_cifar10 or "),
        (["nosuch"], "the zoo has no model 'nosuch'; zoo list shows all"),
        (["--dataset", "cifar"], "the zoo has no models on a dataset 'cifar'; did you mean cifar10 or cifar100?"),
        (["--hub", "file:nosuch"], "file:nosuch has no models, and there is no such folder; push one there with"),
        (["--max-parameters", "9"], "the zoo has no model of at most 9 parameters; leave out one of these"),
        (["plain20*", "--pretrained"], "the zoo has no model named 'plain20*' with weights; leave out one of these"),
    ],
)
def test_an_empty_listing_is_an_error_that_suggests_close_names(run_here: Run, words: list[str], message: str) -> None:
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
        except OSError:  # end of output
            break
        text += read
    os.close(ours)
    assert finished.returncode == 0
    return re.sub(r"\x1b\[[\d;]*m", "", text.decode()).splitlines()


@pytest.mark.parametrize(
    ("columns", "header", "row"),
    [
        (40, ["model", "top-1"], ["resnet20_cifar10", "92.44%"]),
        (120, ["model", "dataset", "parameters", "top-1", "license", "weights"], None),
    ],
)
def test_a_terminal_shows_the_columns_that_fit_it(columns: int, header: list[str], row: list[str] | None) -> None:
    lines = on_a_terminal(columns, "list", "resnet20_cifar*")
    assert all(len(line) <= columns for line in lines)
    words = [line.split() for line in lines]
    assert header in words
    assert row is None or row in words


def test_a_low_terminal_shows_only_models_with_weights_and_counts_the_rest() -> None:
    lines = [line.strip() for line in on_a_terminal(120, "list") if line.strip()]
    assert lines[0].startswith("model")
    assert [line.split()[0] for line in lines[2:-1]] == zoo.list_models(pretrained=True)
    untrained = len(zoo.list_models(pretrained=False))
    assert lines[-1] == f"{untrained} models without weights are not shown: zoo list --untrained"
