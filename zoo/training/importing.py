"""Import weights that somebody else published: fetch and convert them, measure them, write a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo import registry
from zoo.hub import imported
from zoo.hub.address import parse
from zoo.hub.imported import Credit, Normalisation
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
    """Where the weights are, who trained them, and how they are read."""

    source: str | Path  # a path, https://…, or hf://namespace/repository/path@REVISION
    _: KW_ONLY
    by: str = option(REQUIRED, "Who trained them.", "AUTHOR")
    license: str = option(REQUIRED, "What they are published under: bsd-2-clause, unknown.", "LICENSE")
    tag: str | None = option(None, "For the name MODEL.TAG. [default: the author's name]", "TAG")
    mean: Sequence[float] | None = option(
        None, "They were trained with: 0.5,0.5,0.5. [default: the data set's]", "NUMBER,…"
    )
    std: Sequence[float] | None = option(None, "The same. [default: the data set's]", "NUMBER,…")
    sha256: str | None = option(None, "The file must have it.", "HASH")
    rename: Sequence[tuple[str, str]] = option(
        (),
        "Rename its tensors first, as re.sub does: '^linear=fc'; may be repeated.",
        "PATTERN=REPLACEMENT",
    )
    address: str = option("", "Where a file given by path is published.", "ADDRESS", flag="--at")
    revision: str = option("", "Of the repository that it is published in.", "ID")
    citation: str = option("", "How their author wants to be cited.", "TEXT")
    claim: float | None = option(None, "Percent, that their author says they score.", "TOP-1")
    claim_means: str = option("", "What that is: 'best over test epochs'.", "TEXT")
    out: str | Path | None = option(None, "Where to. [default: ./MODEL.TAG]", "FOLDER")  # noqa: RUF009 - a field
    device: str | None = option(
        None, "Any device that torch has here: cpu, cuda, cuda:N, mps, xpu. [default: a GPU if there is one]", "NAME"
    )
    data: str | Path | None = option(None, DATA_HELP, "FOLDER")  # noqa: RUF009

    @property
    def credit(self) -> Credit:
        """Who trained the weights, and what their author says of them."""
        return Credit(
            by=self.by,
            license=self.license,
            address=self.address,
            revision=self.revision,
            citation=self.citation,
            claim=None if self.claim is None else Claim(self.claim, self.claim_means),
        )

    def normalisation(self, model: Model) -> Normalisation:
        """Mean and std of the training: those that are given, else the data set's."""
        return tuple(self.mean or model.dataset.mean), tuple(self.std or model.dataset.std)


def import_model(name: str, options: ImportOptions) -> tuple[Path, Record]:
    """Fetch and convert weights for a model, measure them, and write their model folder."""
    model = registry.load(registry.resolve(name))
    import torch

    from zoo.data.collection import root_of
    from zoo.hub.download import fetch
    from zoo.nets.conversion import require_rules
    from zoo.nets.device import choose
    from zoo.training.jobs import versions

    device, credit, normalisation = choose(options.device), options.credit, options.normalisation(model)
    require_rules(options.rename)
    tag = imported.tag_of(credit) if options.tag is None else options.tag
    imported.require_sound(model, tag, normalisation)
    source = options.source
    fetched = fetch(source, sha256=options.sha256)
    done = imported.converted(model.architecture, model.dataset, fetched, options.rename)
    address = credit.address if isinstance(parse(source), Path) else fetched.address
    download = imported.download_of(address, fetched, done)
    original = download.sha256 if download else fetched.sha256
    content = imported.dump(done.net, f"{model.name}.{tag}", credit.by, original, normalisation)
    computing = imported.Computing(torch.get_num_threads(), versions(model.architecture))
    record = imported.record(model, tag, credit, normalisation, computing, done, download, content, options.rename)
    record = _measured(record, model, done.net.to(device), root_of(options.data), device)
    return imported.write_new(path_of(options.out or record.name), record, model, content)


def _measured(record: Imported, model: Model, net: nn.Module, root: Path, device: torch.device) -> Imported:
    """The record with known answers, and with results where the data set is on this machine."""
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
