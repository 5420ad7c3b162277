"""Write what this repository has generated.

The catalogue's cards, curves, ids and chart, the README's table, the contract of plugins, the command line.

python docs/generate.py             # or: make generated
python docs/generate.py --check     # say what would change, and fail where anything would
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from typer.main import get_command

import zoo
from zoo import spec, templates, testing
from zoo.cli import app
from zoo.hub.catalogue import catalogue, variants
from zoo.hub.info import ModelInfo
from zoo.hub.local import IDS
from zoo.hub.resolve import published
from zoo.record import card, curve, store
from zoo.record.types import Imported, Trained, spread

README = Path(__file__).resolve().parent.parent / "README.md"
PLUGINS = README.parent / "docs" / "plugins.md"
COMMAND_LINE = PLUGINS.with_name("command-line.md")
BY = "Written by `python docs/generate.py`."
ACCURACY = README.parent / "docs" / "accuracy.svg"
FACTS = (spec.Architecture, spec.Dataset, spec.Model, spec.Recipe, spec.Reported, spec.Renaming, spec.Deepening)
CHECKS = ("check_model", "check_training", "check_dataset", "check_plugin", "check_hub")


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with the text that it should have."""
    for one in catalogue().models():
        path = catalogue().path / one.name
        model = published(path)
        yield path / store.README, card.render(model.config, model.log(), model.declared, one.name)
        if isinstance(model.config, Trained):
            yield path / store.CURVE, curve.draw(model.config.name, model.log())
    ids = {one.name: store.identity(catalogue().path / one.name) for one in catalogue().models()}
    yield catalogue().path / IDS, json.dumps(ids, indent=2) + "\n"
    yield ACCURACY, curve.against_size(measured())
    marked = r"(<!-- python docs/generate.py -->\n).*?(<!-- /models -->)"
    text = README.read_text(encoding="utf-8")
    yield README, re.sub(marked, lambda match: match[1] + table() + match[2], text, flags=re.DOTALL)
    text = PLUGINS.read_text(encoding="utf-8")
    for name, part in (("contract", contract()), ("dataset", example()), ("checks", checks())):
        before, begin, rest = text.partition(f"<!-- python docs/generate.py: {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}{begin}\n{part.rstrip()}\n\n{end}{after}"
    yield PLUGINS, text
    yield COMMAND_LINE, command_line()


def measured() -> dict[str, list[curve.Sized]]:
    """What the catalogue has measured, by the title of the dataset, where there is something to compare."""
    found: dict[str, list[curve.Sized]] = {}
    for one in catalogue().models():
        model = published(catalogue().path / one.name)
        if model.config.results is not None and isinstance(model.declared, spec.Model):
            config, name = model.config, one.name.replace(f"_{model.config.dataset}", "")
            point = curve.Sized(name, config.parameters, model.config.results.test_top1, isinstance(config, Trained))
            found.setdefault(model.declared.dataset.title, []).append(point)
    return {title: found[title] for title in sorted(found) if len(found[title]) > 1}


def contract() -> str:
    """Every fact that a plugin states, and the two functions that it brings, from their docstrings and comments."""
    parts = []
    for kind in FACTS:
        source, _ = inspect.getsourcelines(kind)
        meaning = {match[1]: match[2] for line in source if (match := re.match(r"    (\w+): .*?  # (.*)", line))}
        rows = [
            f"| `{name}` | `{_escaped(kind_of_value)}` | {default} | {_escaped(meaning.get(name, ''))} |"
            for name, kind_of_value, default in _fields(kind)
        ]
        heading = ["| field | type | default | |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {kind.__name__}", "", inspect.getdoc(kind) or "", "", *heading, *rows]))
    for function in (spec.Builder, spec.Reader):
        called = str(inspect.signature(function.__call__)).replace("self, ", "").replace("'", "")
        said = f"{inspect.getdoc(function)}\n\n{inspect.getdoc(function.__call__)}"
        parts.append(f"### {function.__name__}\n\n```python\n{called}\n```\n\n{said}")
    return "\n\n".join(parts) + "\n"


def _fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """The fields of a dataclass or a struct: name, type, with its bounds, and default."""
    if is_dataclass(kind):
        for one in fields(kind):
            default = "needed" if one.default is MISSING else f"`{one.default!r}`"
            yield one.name, str(one.type), "`{}`" if one.default_factory is not MISSING else default
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        yield field.name, _bounded(hints[field.name]), "needed" if field.required else f"`{field.default!r}`"


def _bounded(hint: Any) -> str:
    """A type with its bounds, as a person reads it: "int, 1 to 1,000,000"."""
    if get_origin(hint) is Annotated:
        inner, *rest = get_args(hint)
        meta = next(one for one in rest if isinstance(one, msgspec.Meta))
        low = f"at least {meta.ge:,}" if meta.ge is not None else f"above {meta.gt:,}" if meta.gt is not None else ""
        high = f"at most {meta.le:,}" if meta.le is not None else f"below {meta.lt:,}" if meta.lt is not None else ""
        return ", ".join(filter(None, (_bounded(inner), low, high)))
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if get_origin(hint) is tuple:
        return f"tuple[{', '.join('...' if one is Ellipsis else _bounded(one).partition(',')[0] for one in arguments)}]"
    if arguments:
        return " | ".join(map(_bounded, arguments))
    return "None" if hint is type(None) else str(hint.__name__)


def example() -> str:
    """The dataset of a new plugin, as `zoo new plugin mine --dataset petals` writes it."""
    files = dict(templates.render("mine", "petals"))
    return "\n\n".join(
        f"```python\n# zoo-mine/{name}\n{files[name]}```" for name in ("zoo_mine_data.py", "zoo_mine.py")
    )


def checks() -> str:
    """What a plugin's tests call, from the docstrings."""
    said = (f"**`{name}{_called(name)}`** {inspect.getdoc(getattr(testing, name))}" for name in CHECKS)
    return "\n\n".join(said) + "\n"


def _called(name: str) -> str:
    return str(inspect.signature(getattr(testing, name))).replace("'", "").removesuffix(" -> None")


def command_line() -> str:
    """Every command with its arguments and options, as the command line itself knows them."""
    program = get_command(app.app)
    parts = [
        "# The command line",
        f"{BY} `zoo --help` and `zoo COMMAND --help` say the same.",
        _options(program.params),
        *(_command(name) for name in app.COMMANDS),
    ]
    return "\n\n".join(parts) + "\n"


def _command(name: str) -> str:
    command = app.load(name)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join(["zoo", name, *map(_placeholder, arguments), "[OPTIONS]"])
    return f"## zoo {name}\n\n`{usage}`\n\n{command.help}\n\n{_options(command.params)}"


def _options(params: Sequence[Any]) -> str:
    rows = ["| | |", "|---|---|"]
    for one in params:
        is_argument = one.param_type_name == "argument"
        words = _placeholder(one) if is_argument else ", ".join(one.opts)
        if one.secondary_opts:
            words += f", {', '.join(one.secondary_opts)}"
        if not is_argument and not one.is_flag:
            words += f" {one.metavar or 'N'}"
        meaning = one.help or ""
        if not is_argument and one.default not in (None, "") and one.default is not False:
            meaning += f" [default: {one.opts[0] if one.default is True else one.default}]"
        rows.append(f"| `{_escaped(words)}` | {_escaped(meaning)} |")
    return "\n".join(rows)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _placeholder(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def table() -> str:
    """The Markdown table of all models with weights in the catalogue, and how many there are without."""
    lines = [
        "| model | parameters | ours | recipe, epochs, seeds | trained on | other authors' weights: measured (claimed) "
        "| paper | reported by others |",
        "|---|---:|---:|---|---|---|---:|---:|",
    ]
    notes: dict[str, int] = {}
    models = [one.model for name in zoo.list_models() if (one := zoo.info(name)).model is not None]
    without = 0
    for model in sorted(models, key=lambda model: model.dataset.name):  # each in natural order
        config, others = zoo.info(model.name).config, variants(model.name)
        if config is None and not others:
            without += 1
            continue
        paper, reproduction = (_reported(model, kind, notes) for kind in ("paper", "reproduction"))
        theirs = ", ".join(_of_others(zoo.info(name), notes) for name in others) or "–"
        name, ours, how = f"`{model.name}`", "–", "– | –"
        if isinstance(config, Trained):
            name = f"[{name}](hub_cards/{model.name}/README.md)"
            ours = f"**{config.results.test_top1:.2f}**"
            if len(config.seeds) > 1:
                ours += f" ({spread([one.test_top1 for one in config.seeds])})"
            seeds = ", ".join(str(one.seed) for one in config.seeds or [config.seed_results])
            begun = f", from `{config.job.start.address}`" if config.job.start else ""
            how = f"{config.job.recipe_name}, {config.training.epochs}, {seeds}{begun} | {_place(config)}"
        lines.append(f"| {name} | {model.parameters:,} | {ours} | {how} | {theirs} | {paper} | {reproduction} |")
    marks = [f"<sup>{number}</sup> {text}" for text, number in notes.items()]
    untrained = f"Another {without} models have recipes and no weights yet: `zoo list` shows all."
    return "\n".join([*lines, "", "Test top-1 in percent. " + "; ".join(marks) + ".", "", untrained]) + "\n"


def _of_others(found: ModelInfo, notes: dict[str, int]) -> str:
    """Somebody's weights: a link to their card, what they score here, and what is claimed of them."""
    config = found.config
    assert isinstance(config, Imported)
    source = config.source
    here = f"{config.results.test_top1:.2f}" if config.results else "not measured"
    claim = ""
    if source.claim is not None:
        note = f"{source.by}, {source.claim.meaning}" if source.claim.meaning else source.by
        claim = f" ({source.claim.test_top1:.2f}<sup>{notes.setdefault(note, len(notes) + 1)}</sup>)"
    return f"[{source.by}](hub_cards/{found.name}/README.md) {here}{claim}"


def _reported(model: zoo.Model, kind: str, notes: dict[str, int]) -> str:
    """The numbers of one kind, each with a mark for who reports it and what it is; not those with weights here."""
    cells, there = [], {name.rpartition(".")[2] for name in variants(model.name)}
    for one in model.reported:
        if one.kind == kind and one.by.partition("/")[0] not in there:
            text = f"{one.by}{', ' + one.remark if one.remark else ''}"
            cells.append(f"{one.test_top1:.2f}<sup>{notes.setdefault(text, len(notes) + 1)}</sup>")
    return ", ".join(cells) or "–"


def _place(config: Trained) -> str:
    return f"{config.environment.device.partition(',')[0]}, {config.training.train_seconds:,.0f} s"


def main(check: bool) -> int:
    """Write, or only compare; the number of files that differ."""
    different = [(path, text) for path, text in generated() if not path.exists() or path.read_text("utf-8") != text]
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
