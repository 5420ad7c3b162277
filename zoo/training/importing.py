"""Import weights by others: download, convert and evaluate them, and write a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo import registry
from zoo.hub import imported
from zoo.hub.address import parse
from zoo.hub.imported import Credit
from zoo.options import REQUIRED, option
from zoo.record.paths import path_of
from zoo.record.types import Claim, Imported, Record
from zoo.spec import Model
from zoo.training.options import DATA_HELP

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class ImportOptions:
    """Options for importing weights."""

    source: str | Path  # a path, https://…, or hf://namespace/repository/path@REVISION
    _: KW_ONLY
    by: str = option(REQUIRED, "The author of the weights.", "AUTHOR")
    license: str = option(REQUIRED, "The license of the weights, for example bsd-2-clause, or unknown.", "LICENSE")
    tag: str | None = option(None, "The tag of the name MODEL.TAG. [default: the author's name]", "TAG")
    mean: Sequence[float] | None = option(
        None, "The mean of the training's normalization, for example 0.5,0.5,0.5. [default: the dataset's]", "NUMBER,…"
    )
    std: Sequence[float] | None = option(
        None, "The std of the training's normalization. [default: the dataset's]", "NUMBER,…"
    )
    sha256: str | None = option(None, "The expected SHA-256 of the file.", "HASH")
    rename: Sequence[tuple[str, str]] = option(
        (),
        "Rename tensors first, as re.sub does, for example '^linear=fc'; may be repeated.",
        "PATTERN=REPLACEMENT",
    )
    address: str = option("", "The address at which a local file is published.", "ADDRESS", flag="--at")
    revision: str = option("", "The revision of the repository at that address.", "ID")
    citation: str = option("", "The citation that the author asks for.", "TEXT")
    claim: float | None = option(None, "The top-1 accuracy that the author reports, in percent.", "TOP-1")
    claim_means: str = option("", "How the author measured it, for example 'best over test epochs'.", "TEXT")
    out: str | Path | None = option(  # noqa: RUF009 - a field
        None, "The model folder to write. [default: ./MODEL.TAG]", "FOLDER"
    )
    device: str | None = option(
        None, "A device of torch: cpu, cuda, cuda:N, mps or xpu. [default: a GPU if there is one]", "NAME"
    )
    data: str | Path | None = option(None, DATA_HELP, "FOLDER")  # noqa: RUF009


def import_model(name: str, options: ImportOptions) -> tuple[Path, Record]:
    """Download, convert and evaluate weights for a model, and write their model folder.

    Args:
        name: The model.
        options: The source of the weights, their author and license.

    Returns:
        The model folder and its record.

    Raises:
        RegistryError: No plugin declares the model.
        HubError: The weights can't be downloaded, or have another hash than `options.sha256`.
        FolderError: The weights do not fit the model, or the folder can't be written.
        TrainingError: The device is not known.
    """
    model = registry.load(registry.resolve(name))
    import torch

    from zoo.data.collection import root_of
    from zoo.hub.download import fetch
    from zoo.nets.conversion import require_rules
    from zoo.nets.device import choose
    from zoo.training.jobs import versions

    device = choose(options.device)
    credit = Credit(
        by=options.by,
        license=options.license,
        address=options.address,
        revision=options.revision,
        citation=options.citation,
        claim=None if options.claim is None else Claim(options.claim, options.claim_means),
    )
    normalisation = tuple(options.mean or model.dataset.mean), tuple(options.std or model.dataset.std)
    require_rules(options.rename)
    tag = imported.tag_of(credit) if options.tag is None else options.tag
    imported.require_sound(model, tag, normalisation)
    source = options.source
    fetched = fetch(source, sha256=options.sha256)
    converted = imported.converted(model.architecture, model.dataset, fetched, options.rename)
    address = credit.address if isinstance(parse(source), Path) else fetched.address
    download = imported.download_of(address, fetched, converted)
    original = download.sha256 if download else fetched.sha256
    content = imported.dump(converted.net, f"{model.name}.{tag}", credit.by, original, normalisation)
    computing = imported.Computing(torch.get_num_threads(), versions(model.architecture))
    record = imported.record(model, tag, credit, normalisation, computing, converted, download, content, options.rename)
    record = _measured(record, model, converted.net.to(device), root_of(options.data), device)
    return imported.write_new(path_of(options.out or record.name), record, model, content)


def _measured(record: Imported, model: Model, net: nn.Module, root: Path, device: torch.device) -> Imported:
    """The record with known answers, and with results if the dataset is on this machine."""
    from zoo.data import batches, sources
    from zoo.evaluation.evaluate import evaluate, known_answers
    from zoo.training.environment import environment

    pixels = batches.pixels(record.mean, record.std, device)
    is_there = sources.is_there(model.dataset, root)
    test = sources.read_split(model.dataset, root, train=False, device=device) if is_there else None
    answers = known_answers(net, pixels, model.dataset.input_size).tolist()
    return msgspec.structs.replace(
        record,
        results=evaluate(net, test, pixels) if test else None,
        environment=environment(device, model.architecture) if test else None,
        known_answers=tuple(map(tuple, answers)),
    )
