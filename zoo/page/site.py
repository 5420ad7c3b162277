"""Render the files of a site, and write them to a folder in one step.

index.html             every model in a table
accuracy-DATASET.svg   accuracy against parameters, for datasets with several models
models/NAME.html       a model, with download links and a form to try it
models/NAME.svg        its training curve; models/narrow/NAME.svg is for small screens
files/NAME/            the files of a model, if its hub is a folder
models/NAME.js         its ONNX file, if the model can be tried
runtime/               onnxruntime, if models can be tried
*.css, *.js            styles and scripts of all pages
zoo-page.json          the names of these files, so that a later site can replace them
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zoo.errors import PageError
from zoo.page.models import ModelPage
from zoo.page.runtime import Runtime, script_of
from zoo.record import curve
from zoo.record.lock import alone
from zoo.record.paths import require_named
from zoo.record.replace import written_aside
from zoo.record.types import Trained, spread

if TYPE_CHECKING:
    from jinja2 import Environment

MANIFEST: Final = "zoo-page.json"
SHARED: Final = ("site.css", "table.js", "pixels.js", "try.js")


def require_replaceable(out: Path) -> None:
    """Raise PageError if the path exists and is not an earlier site."""
    require_named(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise PageError(f"{out} is not a folder; name another path as out")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        own = {MANIFEST, *json.loads((out / MANIFEST).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, LookupError, TypeError):
        raise PageError(f"{out} exists and is not a site of zoo page; name another folder as out") from None
    present = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    if unexpected := sorted(present - own):
        raise PageError(
            f"{out} has {unexpected[0]}, which zoo page did not write; move it, or name another folder as out"
        )


def pages(models: Sequence[ModelPage], runtime: Runtime | None) -> Mapping[str, bytes]:
    """Render the files of a site.

    Args:
        models: The pages of the models.
        runtime: onnxruntime-web, to try models in the browser; None for a site without it.

    Returns:
        The contents of the files by their paths in the site.
    """
    templates, accuracies = _environment(), _accuracies(models)
    index = templates.get_template("index.html").render(
        models=models,
        datasets=sorted({model.config.dataset for model in models}),
        charts={dataset: _chart(dataset) for dataset in accuracies},
    )
    contents = {"index.html": index.encode()}
    contents |= {_chart(name): curve.against_size({name: points}).encode() for name, points in accuracies.items()}
    contents |= {name: (files(__package__) / "templates" / name).read_bytes() for name in SHARED}
    if runtime is not None and any(not model.obstacle for model in models):
        contents |= runtime.files
    for model in models:
        contents |= dict(_model_files(model, runtime, templates))
    return contents


def write(out: Path, contents: Mapping[str, bytes]) -> Path:
    """Write a site to a folder, and replace an earlier site.

    Args:
        out: The folder.
        contents: The contents of the files by their paths in the site, as `pages` returns them.

    Returns:
        The absolute path of the folder.

    Raises:
        PageError: The folder exists and is not an earlier site.
        FolderError: The folder can't be written.
    """
    target = out.absolute()
    manifest = json.dumps({"files": sorted(contents)}, indent=2) + "\n"
    with alone(target):
        require_replaceable(target)
        with written_aside(target) as aside:
            for name, content in {**contents, MANIFEST: manifest.encode()}.items():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).write_bytes(content)
    return target


def _accuracies(models: Sequence[ModelPage]) -> dict[str, list[curve.Sized]]:
    """The points of each chart, by dataset; a dataset with a single measured model has none."""
    points: dict[str, list[curve.Sized]] = {}
    for model in models:
        config = model.config
        if config.results is not None:
            label = model.name.replace(f"_{config.dataset}", "")
            point = curve.Sized(label, config.parameters, config.results.test_top1, own=isinstance(config, Trained))
            points.setdefault(config.dataset, []).append(point)
    return {dataset: points[dataset] for dataset in sorted(points) if len(points[dataset]) > 1}


def _chart(dataset: str) -> str:
    return f"accuracy-{dataset}.svg"


def _model_files(model: ModelPage, runtime: Runtime | None, templates: Environment) -> Iterator[tuple[str, bytes]]:
    page = templates.get_template("model.html")
    obstacle = model.obstacle or ("" if runtime else "This site has no onnxruntime-web; `zoo page --try` adds it.")
    has_curve = len(model.log) > 1
    text = page.render(model=model, runtime=runtime, obstacle=obstacle, has_curve=has_curve)
    yield f"models/{model.name}.html", text.encode()
    if has_curve:
        yield f"models/{model.name}.svg", curve.draw(model.name, model.log).encode()
        yield f"models/narrow/{model.name}.svg", curve.draw(model.name, model.log, stacked=True).encode()
    for download in model.downloads:
        if download.content is not None:
            yield f"files/{model.name}/{download.file}", download.content
    if model.onnx is not None and not obstacle:
        yield f"models/{model.name}.js", script_of({"model": model.onnx})


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def code(text: str) -> Markup:
        """Escape a line, and format text between backticks as code."""
        return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(Markup.escape(text))))

    def breakable(name: str) -> Markup:
        """Escape a model's name, and allow line breaks after its parts."""
        return Markup("<wbr>").join(re.findall(r"[^_.]+[_.]?", name))

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "breakable": breakable, "spread": spread, "json": json.dumps}
    return environment
