"""Write what this repository has generated: the catalogue's cards, curves and ids, the README's table, the contract.

python docs/generate.py             # or: make generated
python docs/generate.py --check     # say what would change, and fail where anything would
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path

import zoo
from zoo import spec, templates, testing
from zoo.folder import card, curve, store
from zoo.folder.config import Config, spread
from zoo.hub.catalogue import IDS, catalogue, variants
from zoo.hub.listing import ModelInfo
from zoo.hub.published import published

README = Path(__file__).resolve().parent.parent / "README.md"
PLUGINS = README.parent / "docs" / "plugins.md"
FACTS = (spec.Architecture, spec.Dataset, spec.Model, spec.Recipe, spec.Reported, spec.Renaming)
CHECKS = ("check_model", "check_training", "check_dataset", "check_plugin", "check_hub")


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with the text that it should have."""
    for one in catalogue().models():
        path = catalogue().path / one.name
        model = published(path)
        yield path / store.README, card.write(model.config, model.log(), model.known)
        if model.config.origin is None:
            yield path / store.CURVE, curve.draw(model.config.name, model.log())
    ids = {one.name: store.identity(catalogue().path / one.name) for one in catalogue().models()}
    yield catalogue().path / IDS, json.dumps(ids, indent=2) + "\n"
    marked = r"(<!-- python docs/generate.py -->\n).*?(<!-- /models -->)"
    text = README.read_text(encoding="utf-8")
    yield README, re.sub(marked, lambda match: match[1] + table() + match[2], text, flags=re.DOTALL)
    text = PLUGINS.read_text(encoding="utf-8")
    for name, part in (("contract", contract()), ("data set", example()), ("checks", checks())):
        before, begin, rest = text.partition(f"<!-- python docs/generate.py: {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}{begin}\n{part.rstrip()}\n\n{end}{after}"
    yield PLUGINS, text


def contract() -> str:
    """Every fact that a plugin states, and the two functions that it brings, from their docstrings and comments."""
    parts = []
    for kind in FACTS:
        source, _ = inspect.getsourcelines(kind)
        meaning = {match[1]: match[2] for line in source if (match := re.match(r"    (\w+): .*?  # (.*)", line))}
        rows = [f"| `{one.name}` | `{_type(one)}` | {_default(one)} | {_cell(meaning, one)} |" for one in fields(kind)]
        heading = ["| field | type | default | |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {kind.__name__}", "", inspect.getdoc(kind) or "", "", *heading, *rows]))
    for function in (spec.Builder, spec.Reader):
        called = str(inspect.signature(function.__call__)).replace("self, ", "").replace("'", "")
        said = f"{inspect.getdoc(function)}\n\n{inspect.getdoc(function.__call__)}"
        parts.append(f"### {function.__name__}\n\n```python\n{called}\n```\n\n{said}")
    return "\n\n".join(parts) + "\n"


def _type(one: Field[object]) -> str:
    return str(one.type).replace("|", "\\|")


def _default(one: Field[object]) -> str:
    if one.default_factory is not MISSING:
        return "`{}`"
    return "needed" if one.default is MISSING else f"`{one.default!r}`"


def _cell(meaning: dict[str, str], one: Field[object]) -> str:
    return meaning.get(one.name, "").replace("|", "\\|")


def example() -> str:
    """The data set of a new plugin, as `zoo new plugin mine --dataset petals` writes it."""
    files = dict(templates.written("mine", "petals"))
    return "\n\n".join(
        f"```python\n# zoo-mine/{name}\n{files[name]}```" for name in ("zoo_mine_data.py", "zoo_mine.py")
    )


def checks() -> str:
    """What a plugin's tests call, from the docstrings."""
    said = (f"**`{name}{_called(name)}`** {inspect.getdoc(getattr(testing, name))}" for name in CHECKS)
    return "\n\n".join(said) + "\n"


def _called(name: str) -> str:
    return str(inspect.signature(getattr(testing, name))).replace("'", "").removesuffix(" -> None")


def table() -> str:
    """The Markdown table of the systems that others published, and of all models with weights in the catalogue."""
    lines = [
        "| model | parameters | paper | reported by others | weights by others: here (their claim) | ours "
        "| recipe, epochs, seeds | trained on |",
        "|---|---:|---:|---:|---|---:|---|---|",
    ]
    notes: dict[str, int] = {}
    models = [one.model for name in zoo.list_models() if (one := zoo.info(name)).model is not None]
    for model in sorted(models, key=_order):
        config, others = zoo.info(model.name).config, variants(model.name)
        if not model.reported and config is None and not others:
            continue
        paper, reproduction = (_reported(model, kind, notes) for kind in ("paper", "reproduction"))
        theirs = ", ".join(_of_others(zoo.info(name), notes) for name in others) or "–"
        name, ours, how = f"`{model.name}`", "not trained yet", "| "
        if config is not None:
            own = config.own
            name = f"[{name}](hub_cards/{model.name}/README.md)"
            ours = f"**{own.results.test_top1:.2f}**"
            if len(config.seeds) > 1:
                ours += f" ({spread([one.test_top1 for one in config.seeds])})"
            seeds = ", ".join(str(one.seed) for one in config.seeds or [config.seed_results])
            how = f"{own.job.recipe_name}, {own.training.epochs}, {seeds} | {_place(config)}"
        lines.append(f"| {name} | {model.parameters:,} | {paper} | {reproduction} | {theirs} | {ours} | {how} |")
    marks = [f"<sup>{number}</sup> {text}" for text, number in notes.items()]
    return "\n".join([*lines, "", "Test top-1 in percent. " + "; ".join(marks) + "."]) + "\n"


def _of_others(found: ModelInfo, notes: dict[str, int]) -> str:
    """Somebody's weights: a link to their card, what they score here, and what is claimed of them."""
    assert found.config is not None
    config, origin = found.config, found.config.origin
    assert origin is not None
    here = f"{config.results.test_top1:.2f}" if config.results else "not measured"
    claim = ""
    if origin.claim is not None:
        note = f"{origin.by}, {origin.claim.meaning}" if origin.claim.meaning else origin.by
        claim = f" ({origin.claim.test_top1:.2f}<sup>{notes.setdefault(note, len(notes) + 1)}</sup>)"
    return f"[{origin.by}](hub_cards/{found.name}/README.md) {here}{claim}"


def _order(model: zoo.Model) -> tuple[str, list[str | int]]:
    """By data set, then as a person counts: resnet56 before resnet110."""
    parts = re.split(r"(\d+)", model.architecture.name)
    return model.dataset.name, [int(part) if part.isdigit() else part for part in parts]


def _reported(model: zoo.Model, kind: str, notes: dict[str, int]) -> str:
    """The numbers of one kind, each with a mark for who reports it and what it is; not those with weights here."""
    cells, there = [], {name.rpartition(".")[2] for name in variants(model.name)}
    for one in model.reported:
        if one.kind == kind and one.by.partition("/")[0] not in there:
            text = f"{one.by}{', ' + one.remark if one.remark else ''}"
            cells.append(f"{one.test_top1:.2f}<sup>{notes.setdefault(text, len(notes) + 1)}</sup>")
    return ", ".join(cells) or "–"


def _place(config: Config) -> str:
    return f"{config.own.environment.device.partition(',')[0]}, {config.own.training.train_seconds:,.0f} s"


def main(check: bool) -> int:
    """Write, or only compare; the number of files that differ."""
    different = [(path, text) for path, text in generated() if path.read_text(encoding="utf-8") != text]
    for path, text in different:
        print(f"{path} {'differs from what is generated' if check else 'written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return len(different)


if __name__ == "__main__":
    os.environ.pop("ZOO_HUB", None)  # what is generated is of the catalogue
    check = "--check" in sys.argv[1:]
    differing = main(check)
    sys.exit(differing if check else 0)
