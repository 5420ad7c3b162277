"""Write the generated files of this repository.

They are the catalogue's cards, curves, ids and chart, the README's table, and the references of plugins and of the
command line.

python docs/generate.py             # or: make generated
python docs/generate.py --check     # list outdated files; the exit code is their number
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
import typer
from typer.cli import get_docs_for_click
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
ACCURACY = README.parent / "docs" / "accuracy.svg"
DECLARATIONS = (spec.Architecture, spec.Dataset, spec.Model, spec.Recipe, spec.Reported, spec.Renaming, spec.Deepening)
CHECKS = ("check_model", "check_training", "check_dataset", "check_plugin", "check_hub")


def generated() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of every generated file."""
    for listed in catalogue().models():
        path = catalogue().path / listed.name
        model = published(path)
        shows_errors = (path / store.ERRORS).is_file()
        text = card.render(model.config, model.log(), model.declared, listed.name, shows_errors=shows_errors)
        yield path / store.README, text
        if isinstance(model.config, Trained):
            yield path / store.CURVE, curve.draw(model.config.name, model.log())
    ids = {listed.name: store.identity(catalogue().path / listed.name) for listed in catalogue().models()}
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
    """Return the measured models of the catalogue by the dataset's title, without datasets of a single model."""
    points: dict[str, list[curve.Sized]] = {}
    for listed in catalogue().models():
        model = published(catalogue().path / listed.name)
        if model.config.results is not None and isinstance(model.declared, spec.Model):
            config, name = model.config, listed.name.replace(f"_{model.config.dataset}", "")
            point = curve.Sized(name, config.parameters, model.config.results.test_top1, isinstance(config, Trained))
            points.setdefault(model.declared.dataset.title, []).append(point)
    return {title: points[title] for title in sorted(points) if len(points[title]) > 1}


def contract() -> str:
    """Return the reference of the values that a plugin declares, from docstrings and comments."""
    parts = []
    for kind in DECLARATIONS:
        source, _ = inspect.getsourcelines(kind)
        meaning = {match[1]: match[2] for line in source if (match := re.match(r"    (\w+): .*?  # (.*)", line))}
        rows = [
            f"| `{name}` | `{_escaped(kind_of_value)}` | {default} | {_escaped(meaning.get(name, ''))} |"
            for name, kind_of_value, default in _fields(kind)
        ]
        heading = ["| field | type | default | description |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {kind.__name__}", "", _markdown(kind), "", *heading, *rows]))
    for function in (spec.Builder, spec.Reader):
        called = str(inspect.signature(function.__call__)).replace("self, ", "").replace("'", "")
        text = f"{_markdown(function)}\n\n{_markdown(function.__call__)}"
        parts.append(f"### {function.__name__}\n\n```python\n{called}\n```\n\n{text}")
    return "\n\n".join(parts) + "\n"


def _fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and default of the fields of a dataclass or a struct."""
    if is_dataclass(kind):
        for declared in fields(kind):
            default = "required" if declared.default is MISSING else f"`{declared.default!r}`"
            yield declared.name, str(declared.type), "`{}`" if declared.default_factory is not MISSING else default
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        yield field.name, _bounded(hints[field.name]), "required" if field.required else f"`{field.default!r}`"


def _bounded(hint: Any) -> str:
    """Return a type with its bounds: "int, at least 1, at most 1,000,000"."""
    if get_origin(hint) is Annotated:
        inner, *rest = get_args(hint)
        meta = next(value for value in rest if isinstance(value, msgspec.Meta))
        low = f"at least {meta.ge:,}" if meta.ge is not None else f"above {meta.gt:,}" if meta.gt is not None else ""
        high = f"at most {meta.le:,}" if meta.le is not None else f"below {meta.lt:,}" if meta.lt is not None else ""
        return ", ".join(filter(None, (_bounded(inner), low, high)))
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if get_origin(hint) is tuple:
        return (
            f"tuple[{', '.join('...' if kind is Ellipsis else _bounded(kind).partition(',')[0] for kind in arguments)}]"
        )
    if arguments:
        return " | ".join(map(_bounded, arguments))
    return "None" if hint is type(None) else str(hint.__name__)


def example() -> str:
    """Return the dataset that `zoo new plugin mine --dataset petals` writes."""
    files = dict(templates.render("mine", "petals"))
    return "\n\n".join(
        f"```python\n# zoo-mine/{name}\n{files[name]}```" for name in ("zoo_mine_data.py", "zoo_mine.py")
    )


def checks() -> str:
    """Return the reference of `zoo.testing`, from the docstrings."""
    parts = (
        f"### {name}\n\n```python\n{name}{_called(name)}\n```\n\n{_markdown(getattr(testing, name))}" for name in CHECKS
    )
    return "\n\n".join(parts) + "\n"


def _markdown(documented: object) -> str:
    """Return a docstring with its sections as lists, and its example as code."""
    text, _, example = (inspect.getdoc(documented) or "").partition("Examples:\n")
    text = re.sub(r"^(Args|Returns|Raises):\n", r"\1:\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^    (?=\S)", "- ", text, flags=re.MULTILINE).rstrip()
    return f"{text}\n\n```pycon\n{inspect.cleandoc(example)}\n```" if example else text


def _called(name: str) -> str:
    return str(inspect.signature(getattr(testing, name))).replace("'", "").removesuffix(" -> None")


def command_line() -> str:
    """Return the reference of the command line, as `typer utils docs` writes it."""
    program: Any = get_command(app.app)
    program.commands = {name: app.load(name) for name in app.COMMANDS}
    context = typer.Context(program, **program.context_settings)
    return get_docs_for_click(obj=program, ctx=context, name="zoo", title="The command line").rstrip() + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def table() -> str:
    """Return the Markdown table of all models with weights in the catalogue."""
    lines = [
        "| model | parameters | ours | recipe, epochs, seeds | trained on | other authors' weights: measured (claimed) "
        "| paper | reported by others |",
        "|---|---:|---:|---|---|---|---:|---:|",
    ]
    notes: dict[str, int] = {}
    trained: list[Trained] = []
    models = [shown.model for name in zoo.list_models() if (shown := zoo.info(name)).model is not None]
    without = 0
    for model in sorted(models, key=lambda model: model.dataset.name):
        config, others = zoo.info(model.name).config, variants(model.name)
        if config is None and not others:
            without += 1
            continue
        paper, reproduction = (_reported(model, kind, notes) for kind in ("paper", "reproduction"))
        theirs = ", ".join(_of_others(zoo.info(name), notes) for name in others) or "–"
        name, ours, how = f"`{model.name}`", "–", "– | –"
        if isinstance(config, Trained):
            trained.append(config)
            name = f"[{name}](hub_cards/{model.name}/README.md)"
            ours = f"**{config.results.test_top1:.2f}**"
            if len(config.seeds) > 1:
                ours += f" ({spread([result.test_top1 for result in config.seeds])})"
            seeds = ", ".join(str(result.seed) for result in config.seeds or [config.seed_results])
            start = f", from `{config.job.start.address}`" if config.job.start else ""
            teacher = f" from `{config.job.teacher.address}`" if config.job.teacher else ""
            recipe = f"{config.job.recipe_name}{teacher}, {config.training.epochs}, {seeds}{start}"
            how = f"{recipe} | {_hardware(config)}"
        lines.append(f"| {name} | {model.parameters:,} | {ours} | {how} | {theirs} | {paper} | {reproduction} |")
    marks = [f"<sup>{number}</sup> {text}" for text, number in notes.items()]
    untrained = f"Another {without} models have recipes but no weights yet; `zoo list` shows all models."
    remarks = " ".join([*_short_trainings(trained), untrained])
    return "\n".join([*lines, "", "Test top-1 in percent. " + "; ".join(marks) + ".", "", remarks]) + "\n"


def _short_trainings(trained: Sequence[Trained]) -> Iterator[str]:
    """Return a sentence about each model that is less accurate than a smaller one, which was trained for longer."""
    for large in trained:
        better = [
            small
            for small in trained
            if small.dataset == large.dataset
            and small.parameters < large.parameters
            and small.results.test_top1 > large.results.test_top1
            and small.training.epochs > large.training.epochs
        ]
        if better:
            small = max(better, key=lambda record: record.results.test_top1)
            yield (
                f"`{large.name}` has {large.parameters / small.parameters:.1f} times the parameters of `{small.name}` "
                f"and is less accurate: it was trained for {large.training.epochs} epochs, `{small.name}` for "
                f"{small.training.epochs}."
            )


def _of_others(shown: ModelInfo, notes: dict[str, int]) -> str:
    """Return a cell about imported weights: a link to the card, the measured accuracy, and the author's claim."""
    config = shown.config
    assert isinstance(config, Imported)
    source = config.source
    here = f"{config.results.test_top1:.2f}" if config.results else "not measured"
    claim = ""
    if source.claim is not None:
        note = f"{source.by}, {source.claim.meaning}" if source.claim.meaning else source.by
        claim = f" ({source.claim.test_top1:.2f}<sup>{notes.setdefault(note, len(notes) + 1)}</sup>)"
    return f"[{source.by}](hub_cards/{shown.name}/README.md) {here}{claim}"


def _reported(model: zoo.Model, kind: str, notes: dict[str, int]) -> str:
    """Return the reported accuracies of a kind with footnotes, without those of weights in the catalogue."""
    cells, imported = [], {name.rpartition(".")[2] for name in variants(model.name)}
    for report in model.reported:
        if report.kind == kind and report.by.partition("/")[0] not in imported:
            text = f"{report.by}{', ' + report.remark if report.remark else ''}"
            cells.append(f"{report.test_top1:.2f}<sup>{notes.setdefault(text, len(notes) + 1)}</sup>")
    return ", ".join(cells) or "–"


def _hardware(config: Trained) -> str:
    return f"{config.environment.device.partition(',')[0]}, {config.training.train_seconds:,.0f} s"


def main(check: bool) -> int:
    """Write the outdated files, or only list them with `check`; return their number."""
    different = [(path, text) for path, text in generated() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in different:
        print(f"{path} {'is outdated' if check else 'written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return len(different)


if __name__ == "__main__":
    os.environ.pop("ZOO_HUB", None)  # the generated files describe the catalogue
    check = "--check" in sys.argv[1:]
    differing = main(check)
    sys.exit(differing if check else 0)
