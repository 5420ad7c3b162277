"""`zoo export`: write a model in other formats."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import print_json, print_table, say, say_published
from zoo.record.types import Export, Record


def export(
    model: options.ModelName,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT,…", help="onnx, int8, pt2, or a plugin's; a comma between two.")
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to. [default: ./MODEL-export]")
    ] = None,
    revision: options.Revision = None,
    data: options.Data = None,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Keep a format that costs more than half a point of top-1, too.")
    ] = False,
    push: options.Push = False,
    hub: options.PushHub = None,
    as_json: options.Json = False,
) -> None:
    """Export a model to other formats, from pixels to probabilities, and compare each with the model.

    The files are written into a copy of its model folder: ONNX for onnxruntime, the same in 8-bit integers (calibrated
    on training images), and torch.export's archive. Each is run at once by its own runtime, on the whole test set too
    where the data is there; a file with other answers than the model's is refused.
    """
    if hub is not None and not push:
        raise typer.BadParameter(
            "is where --push goes to; a model in a hub is named by its address", param_hint="--hub"
        )
    formats = [name.strip() for name in to.split(",")]
    folder, config = api.export(model, to=formats, out=out, revision=revision, data=data, allow_loss=allow_loss)
    if as_json:
        exports = [_facts(config, export) for export in config.exports]
        print_json({"folder": str(folder), "name": config.name, "exports": exports})
    else:
        _say(folder, config)
    if push:
        published = api.push(folder, hub=hub)
        if not as_json:
            say_published(published)


def _facts(config: Record, export: Export) -> dict[str, object]:
    return {**msgspec.to_builtins(export), "bytes": config.files[export.file].bytes}


def _say(folder: Path, config: Record) -> None:
    cells = []
    for export in config.exports:
        test = export.test
        cells.append(
            (
                export.format,
                export.file,
                f"{config.files[export.file].bytes:,}",
                f"{test.test_top1:.2f}%" if test else "–",
                f"{test.otherwise:,}" if test else "–",
                f"{max(export.known_logits, test.logits if test else 0):.1e}",
                export.runtime,
            )
        )
    heading = ("format", "file", "bytes", "top-1", "changed predictions", "logits differ by", "runtime")
    print_table(heading, cells, right=(2, 3, 4, 5))
    card = config.results
    before = f", whose top-1 is {card.test_top1:.2f}%" if card else ""
    say(f"compared with {config.name}{before}; the model folder is {folder}")
