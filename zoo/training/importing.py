"""Import weights by others: download, convert and evaluate them, and write a model folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo import registry
from zoo.errors import FolderError
from zoo.hub import imported
from zoo.hub.address import parse
from zoo.hub.download import DIGITS, Fetched, fetch, file_name
from zoo.hub.imported import Normalisation
from zoo.options import REQUIRED, option
from zoo.record import card, store
from zoo.record.lock import alone
from zoo.record.paths import path_of
from zoo.record.replace import written_aside
from zoo.record.types import Claim, Download, File, Imported, Record, Source, is_tag, tag_of
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
    tag: str | None = option(None, "The imported model is named MODEL.TAG. [default: the author's name]", "TAG")
    mean: Sequence[float] | None = option(
        None, "The mean for normalization, for example 0.5,0.5,0.5. [default: the dataset's]", "NUMBER,…"
    )
    std: Sequence[float] | None = option(
        None, "The standard deviation for normalization. [default: the dataset's]", "NUMBER,…"
    )
    sha256: str | None = option(None, "The expected SHA-256 of the file.", "HASH")
    rename: Sequence[tuple[str, str]] = option(
        (),
        "Rename tensors first, as re.sub does, for example '^linear=fc'; may be repeated.",
        "PATTERN=REPLACEMENT",
    )
    address: str = option("", "The public address of the file, if SOURCE is a path.", "ADDRESS", flag="--at")
    revision: str = option("", "The revision of the repository, if --at is in a repository.", "ID")
    citation: str = option("", "The citation for the weights, as the author requests it.", "TEXT")
    claim: float | None = option(None, "The top-1 accuracy that the author reports, in percent.", "TOP-1")
    claim_means: str = option("", "How the author measured the top-1, for example 'best over test epochs'.", "TEXT")
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
    from zoo.nets.build import count
    from zoo.nets.conversion import require_rules
    from zoo.nets.device import choose
    from zoo.training.jobs import versions

    device = choose(options.device)
    require_rules(options.rename)
    tag = tag_of(options.by) if options.tag is None else options.tag
    normalisation = tuple(options.mean or model.dataset.mean), tuple(options.std or model.dataset.std)
    _require_valid(model, tag, normalisation)
    file = fetch(options.source, sha256=options.sha256)
    converted = imported.convert(model.architecture, model.dataset, file, options.rename)
    address = options.address if isinstance(parse(options.source), Path) else file.address
    download = _download(address, file, converted.tensors_sha256) if address else None
    original = download.sha256 if download else file.sha256
    content = imported.dump(converted.net, f"{model.name}.{tag}", options.by, original, normalisation)
    record = Imported(
        name=f"{model.name}.{tag}",
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        classes=model.dataset.classes,
        input_size=model.dataset.input_size,
        resizing=model.dataset.resizing,
        mean=normalisation[0],
        std=normalisation[1],
        parameters=count(converted.net),
        license=options.license,
        paper=model.architecture.paper,
        files={store.WEIGHTS: File.of(content)},
        source=Source(
            by=options.by,
            revision=options.revision,
            citation=options.citation,
            claim=None if options.claim is None else Claim(options.claim, options.claim_means),
            mapped=converted.mapped,
            rename=tuple(options.rename) or msgspec.UNSET,
            threads=torch.get_num_threads(),
            versions=versions(model.architecture),
        ),
        download=download,
    )
    record = _measured(record, model, converted.net.to(device), root_of(options.data), device)
    return _write(path_of(options.out or record.name), record, model, content)


def _require_valid(model: Model, tag: str, normalisation: Normalisation) -> None:
    """Raise FolderError if the tag is invalid, or the normalization has another number of channels."""
    if not is_tag(tag):
        raise FolderError(f"a tag should be of a-z, 0-9, '_' and '-', not {tag!r}; name another tag")
    channels = model.dataset.input_size[0]
    for name, values in zip(("mean", "std"), normalisation, strict=True):
        if len(values) != channels:
            raise FolderError(f"{name} should have {channels} numbers, one per channel, not {len(values)}")


def _download(address: str, file: Fetched, tensors_sha256: str) -> Download:
    """The entry of the record with the address of the original weights.

    `file` may be a copy that was saved again. Then the name in the address has the first digits of another hash, which
    are recorded.
    """
    name = file_name(address)
    digits = DIGITS.search(name)
    if digits is not None and not file.sha256.startswith(digits[1]):
        return Download(address=address, file=name, sha256=digits[1], tensors_sha256=tensors_sha256)
    return Download(address=address, file=name, sha256=file.sha256, bytes=file.size, tensors_sha256=tensors_sha256)


def _write(target: Path, record: Record, model: Model, content: bytes) -> tuple[Path, Record]:
    """Write a model folder; raises FolderError if the path exists or can't be written."""
    with alone(target):
        if os.path.lexists(target):
            raise FolderError(f"{target} is there already; remove it or name another folder")
        with written_aside(target) as aside:
            files = {store.README: card.render(record, [], model).encode(), store.WEIGHTS: content}
            return target, store.write(aside, record, files)


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
