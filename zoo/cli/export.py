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
        str,
        typer.Option("--to", metavar="FORMAT,…", help="Comma-separated formats: onnx, int8, pt2, or a plugin's."),
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="The folder to create. [default: ./MODEL-export]")
    ] = None,
    revision: options.Revision = None,
    data: options.Data = None,
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Accept a file even if its top-1 is more than 0.5 percentage points lower."),
    ] = False,
    push: options.Push = False,
    hub: options.PushHub = None,
    as_json: options.Json = False,
) -> None:
    """Export a model to other formats, and compare the outputs.

    The files are written into a copy of the model folder: ONNX, ONNX in 8-bit integers (calibrated on training images),
    or an archive of torch.export. They take pixels and return probabilities. Each file is run in its runtime, on the
    whole test set if the data is here, and rejected if its results differ from the model's.
    """
    if hub is not None and not push:
        raise typer.BadParameter(
            "is the hub to publish to; add --push, or name a model in a hub by its address", param_hint="--hub"
        )
    formats = [name.strip() for name in to.split(",")]
    folder, config = api.export(model, to=formats, out=out, revision=revision, data=data, allow_loss=allow_loss)
    if as_json:
        exports = [_to_json(config, export) for export in config.exports]
        print_json({"folder": str(folder), "name": config.name, "exports": exports})
    else:
        _say(folder, config)
    if push:
        published = api.push(folder, hub=hub)
        if not as_json:
            say_published(published)


def _to_json(config: Record, export: Export) -> dict[str, object]:
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
    top1 = f" (top-1 {card.test_top1:.2f}%)" if card else ""
    say(f"compared with {config.name}{top1}; the model folder is {folder}")
