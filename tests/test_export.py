"""Export to ONNX, int8 and pt2: the files, the comparison with the net, and errors."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo import api
from zoo.data.preprocessing import preprocessing
from zoo.errors import ExportError, FolderError, HashMismatch
from zoo.evaluation.evaluate import fixed_inputs
from zoo.exporters import onnx, runtime
from zoo.exporters.formats import Answers, Subject
from zoo.exporters.graph import Graph, program
from zoo.hub.resolve import published
from zoo.record import card, store
from zoo.record.types import ExportTest, Imported

from .conftest import CHECKOUT, Run
from .folders import config_of, hashed, trained_record

PHOTO = CHECKOUT / "tests" / "photo.png"


pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnx, onnxscript and onnxruntime: pip install 'residual-zoo[export]'",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue's model of digits; how much accuracy int8 costs a barely trained net depends on the CPU."""
    return Path(shutil.copytree(published("resnet8_digits").folder, tmp_path_factory.mktemp("trained") / "model"))


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model with onnx, int8 and pt2 files. Tests must not change it."""
    folder = tmp_path_factory.mktemp("exported")
    first, _ = api.export(trained, to=("onnx", "int8"), out=folder / "first")
    second, config = api.export(first, to=("pt2",), out=folder / "model")
    assert [export.format for export in config.exports] == ["onnx", "int8", "pt2"]
    return second


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


# The graph.


@pytest.mark.parametrize("size", [(5, 13), (40, 31)])
def test_a_graph_resizes_as_the_zoo_does(trained: Path, size: tuple[int, int]) -> None:
    model = published(trained)
    net, config = model.net(), model.config
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, *size, 1), dtype=np.uint8))
    with torch.inference_mode():
        logits, _ = Graph(net, config, resizes=True)(image)
        expected = net(preprocessing(config.input_size, config.mean, config.std)(image[0].permute(2, 0, 1))[None])
    assert torch.allclose(logits, expected, atol=1e-5)


class Branching(nn.Module):
    """A net with control flow that depends on its images."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)[:, :10]
        return flat if bool(images.sum() > 0) else -flat


def test_a_net_that_torch_export_cannot_trace_is_reported(trained: Path) -> None:
    with pytest.raises(ExportError, match=r"resnet8_digits can't be exported: torch\.export can't trace its net"):
        program(Branching(), published(trained).config, any_size=False)


class Untranslated(nn.Module):
    """A net with an operation that ONNX does not have."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = torch.special.bessel_j0(images.flatten(1)[:, :10])
        return logits


def test_a_net_with_an_operation_that_onnx_lacks_is_reported(trained: Path) -> None:
    config = published(trained).config
    subject = Subject(Untranslated(), config, "0" * 64, lambda count: torch.empty(0))
    with pytest.raises(ExportError, match=r"torch can't translate an operation of its net .*; export to pt2"):
        onnx.write(subject)


# Comparison with the net.


def answering(logits: Tensor, probabilities: Tensor | None = None) -> Callable[[Tensor], Answers]:
    def run(images: Tensor) -> Answers:
        batch = logits.expand(len(images), -1)
        return Answers(batch, batch.softmax(1) if probabilities is None else probabilities.expand(len(images), -1))

    return run


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (answering(torch.zeros(1, 9)), r"its logits are torch.float32 \[4, 9\], expected float32 \[4, 10\]"),
        (answering(torch.full((1, 10), torch.nan)), "its logits are"),
        (answering(torch.zeros(1, 10), torch.zeros(1, 10)), "not the softmax of its logits"),
    ],
)
def test_invalid_outputs_of_a_runtime_are_refused(run: Callable[[Tensor], Answers], why: str) -> None:
    with pytest.raises(ExportError, match=why):
        runtime.answers(run, fixed_inputs((1, 8, 8)), 10)


def test_outputs_that_depend_on_the_batch_are_refused(trained: Path) -> None:
    def run(images: Tensor) -> Answers:
        logits = torch.full((len(images), 10), float(len(images)))
        return Answers(logits, logits.softmax(dim=1))

    with pytest.raises(ExportError, match="differ between a batch of 1 and a larger batch"):
        runtime.known_logits(run, published(trained).config)


def test_a_runtime_that_disagrees_with_the_net_is_refused_and_no_file_is_left(
    trained: Path, tmp_path: Path, fake_plugin: Callable[..., Path]
) -> None:
    fake_plugin("zoo-wrong", {"wrong": "zoo_wrong:WRONG"}, "zoo_wrong", WRONG, group="zoo.exporters")
    with pytest.raises(ExportError, match=r"logits by torch .* differ from the net's by up to .* for the fixed inputs"):
        api.export(trained, to=("wrong",), out=tmp_path / "out")
    assert list(tmp_path.glob("out*")) == []


WRONG = """
import torch
from zoo.exporters.formats import Answers, Exporter

def answer(images):
    logits = torch.zeros(len(images), 10)
    return Answers(logits, logits.softmax(dim=1))

WRONG = Exporter("wrong", "wrong/model", (), "torch", lambda subject: b"wrong", lambda content, threads: answer)
LOSSY = Exporter("lossy", "lossy/model", (), "torch", lambda subject: b"lossy", lambda content, threads: answer,
                 is_exact=False)
"""


def test_a_loss_of_accuracy_of_half_a_point_is_refused_unless_allowed(
    trained: Path, tmp_path: Path, fake_plugin: Callable[..., Path]
) -> None:
    fake_plugin("zoo-wrong", {"lossy": "zoo_wrong:LOSSY"}, "zoo_wrong", WRONG, group="zoo.exporters")
    with pytest.raises(ExportError, match=r"lossy has a top-1 of .*, the net .*, expected at most 0\.5 points less"):
        api.export(trained, to=("lossy",), out=tmp_path / "out")
    _, config = api.export(trained, to=("lossy",), out=tmp_path / "out", allow_loss=True)
    (export,) = config.exports
    assert export.test is not None
    assert export.test.test_top1 < 20
    assert export.test.test_images == 360


# The folder.


def test_an_exported_folder_is_the_model_folder_with_a_file_per_format(trained: Path, exported: Path) -> None:
    before, config = trained_record(trained), store.check_whole(exported)
    assert {"onnx/model.onnx", "onnx/model_int8.onnx", "pt2/model.pt2"} == set(config.files) - set(before.files)
    assert msgspec.structs.replace(config, files=before.files, exports=()) == before
    assert store.read_weights(exported, config) == store.read_weights(trained, before)
    onnx, int8, _ = config.exports
    assert (onnx.format, onnx.file, onnx.runtime.split()[0]) == ("onnx", "onnx/model.onnx", "onnxruntime")
    assert onnx.known_logits < 1e-4
    assert onnx.test == ExportTest(before.results.test_top1, 360, 0, onnx.test.logits if onnx.test else -1)
    assert int8.test is not None
    assert int8.test.test_top1 > before.results.test_top1 - 0.5


def test_the_card_of_an_exported_model_has_the_measurements(exported: Path) -> None:
    config, text = trained_record(exported), (exported / store.README).read_text()
    assert text == card.render(config, store.read_log(exported), published(exported).declared)
    row = next(line for line in text.splitlines() if line.startswith("| `onnx/model.onnx` (onnx) |"))
    assert f"{config.results.test_top1:.2f}% | 0 of 360" in row


def test_an_existing_output_folder_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is there already; remove it or name another folder as out"):
        api.export(trained, out=tmp_path)


def test_an_exported_file_has_metadata_and_no_local_path(trained: Path, exported: Path) -> None:
    import onnx

    for name in ("onnx/model.onnx", "onnx/model_int8.onnx"):
        content = (exported / name).read_bytes()
        metadata = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
        assert json.loads(metadata["classes"]) == list(store.read_record(exported).classes)
        assert (metadata["name"], metadata["license"], metadata["size"]) == ("resnet8_digits", "apache-2.0", "8x8")
        assert metadata["id"] == store.identity(trained)
        assert b"stack_trace" not in content
        require_nothing_of_this_machine(content)
    with zipfile.ZipFile(exported / "pt2" / "model.pt2") as archive:
        extra = {Path(name).name: archive.read(name) for name in archive.namelist() if "/extra/" in name}
        assert (extra["name"], extra["size"]) == (b"resnet8_digits", b"any")
        for name in archive.namelist():
            require_nothing_of_this_machine(archive.read(name))


def require_nothing_of_this_machine(content: bytes) -> None:
    for path in (str(CHECKOUT), str(Path.home()) + "/", sys.prefix):
        assert path.encode() not in content


def test_imported_weights_are_exported_with_the_authors_name(trained: Path, tmp_path: Path) -> None:
    theirs, _ = api.import_model(
        "resnet8",
        trained / store.WEIGHTS,
        by="Ada",
        license="mit",
        address="https://example.org/weights",
        out=tmp_path / "theirs",
    )
    folder, config = api.export(theirs, to=("pt2",), out=tmp_path / "out")
    before = store.read_record(theirs)
    assert isinstance(before, Imported)
    assert msgspec.structs.replace(config, files=before.files, exports=()) == before
    assert config.name == "resnet8_digits.ada"
    text = (folder / store.README).read_text()
    assert "**Trained by Ada, not by the zoo**" in text
    assert "| `pt2/model.pt2` (pt2, any height and width) |" in text


@pytest.mark.parametrize("address", ["file:hub", "hf://me"])
def test_exported_files_are_pushed_and_pulled(
    exported: Path, tmp_path: Path, hub: object, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api.push(exported, hub=address)
    pulled = api.pull(f"{address}/resnet8_digits", out=tmp_path / "pulled")
    assert store.check_whole(pulled) == store.read_record(exported)
    assert (pulled / "onnx" / "model_int8.onnx").is_file()


# Inference.


@pytest.mark.parametrize(("runtime", "tolerance"), [("onnx", 1e-5), ("int8", 0.1), ("pt2", 1e-5)])
def test_a_runtime_predicts_as_the_net_does(exported: Path, runtime: str, tolerance: float) -> None:
    (net,), (prediction,) = (list(api.predict(exported, [PHOTO], top=10, runtime=name)) for name in (None, runtime))
    expected = {guess.label: guess.probability for guess in net.guesses}
    assert {guess.label: guess.probability for guess in prediction.guesses} == pytest.approx(expected, abs=tolerance)


def test_a_runtime_has_the_recorded_accuracy(exported: Path) -> None:
    evaluation = api.evaluate(exported, runtime="onnx")
    recorded = trained_record(exported).results
    assert (evaluation.results.test_top1, evaluation.results.test_images) == (recorded.test_top1, recorded.test_images)
    assert evaluation.results.test_loss == pytest.approx(recorded.test_loss, rel=1e-4)


def test_pt2_files_from_a_hub_are_opened_only_if_trusted(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    api.push(exported, hub=hub)
    with pytest.raises(
        ExportError, match="runs its author's code when it is opened; if you trust it, add it to ZOO_TRUST"
    ):
        api.predict("resnet8_digits", [PHOTO], hub=hub, runtime="pt2")
    monkeypatch.setenv("ZOO_TRUST", hub)
    assert list(api.predict("resnet8_digits", [PHOTO], hub=hub, runtime="pt2"))


def test_a_missing_format_is_reported_with_the_command_that_exports_it(trained: Path) -> None:
    with pytest.raises(ExportError, match=r"resnet8_digits has no pt2 file; .* zoo export resnet8_digits --to pt2"):
        api.predict(trained, [PHOTO], runtime="pt2")


def test_device_and_weights_cannot_be_combined_with_a_runtime(trained: Path) -> None:
    with pytest.raises(ExportError, match="runs on the CPU, not on cuda"):
        api.predict(trained, [PHOTO], runtime="pt2", device="cuda")
    with pytest.raises(ExportError, match="has its own weights"):
        api.evaluate(trained, runtime="pt2", weights=trained / store.WEIGHTS)


# Verification.


def test_an_exported_file_is_verified_if_its_runtime_is_installed_and_trusted(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcomes() -> list[str]:
        return [check.outcome for check in api.verify(exported).checks if check.name in ("onnx", "int8", "pt2")]

    assert outcomes() == ["as published", "as published", "not measured"]
    monkeypatch.setenv("ZOO_TRUST", str(exported))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert outcomes() == ["not measured", "not measured", "as published"]


@pytest.mark.parametrize(
    ("damage", "difference"),
    [
        ("another bias", "onnx/model.onnx: the logits of the fixed inputs differ from the net's by"),
        ("another file", "onnx/model.onnx of resnet8_digits can't be opened by onnxruntime"),
    ],
)
def test_a_changed_file_is_refused_by_its_hash_and_by_its_outputs(
    exported: Path, tmp_path: Path, damage: str, difference: str
) -> None:
    folder = copied(exported, tmp_path)
    if damage == "another bias":
        flip(folder / "onnx" / "model.onnx")
    else:
        (folder / "onnx" / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(HashMismatch, match=r"onnx/model\.onnx has"):
        api.predict(folder, [PHOTO], runtime="onnx")
    (reported,) = api.verify(hashed(folder)).differences
    assert difference in reported


def flip(path: Path) -> None:
    """Flip the sign of the largest value of the last layer's bias in an ONNX file."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [10])
    values = numpy_helper.to_array(bias).copy()
    values[np.abs(values).argmax()] *= -1
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    path.write_bytes(model.SerializeToString())


# Errors.

INVALID: dict[str, dict[str, Any]] = {
    "an unlisted file": {"file": "elsewhere.onnx"},
    "a path out of the folder": {"file": "../elsewhere"},
    "the weights": {"file": store.WEIGHTS},
    "a format with an escape": {"format": "onnx\x1b[2J"},
    "a runtime of two lines": {"runtime": "onnxruntime\n1"},
    "zero threads": {"threads": 0},
    "a negative distance": {"known_logits": -1.0},
    "a top-1 above 100": {"test": {"test_top1": 101, "test_images": 1, "otherwise": 0, "logits": 0}},
    "more changed predictions than images": {"test": {"test_top1": 1, "test_images": 1, "otherwise": 2, "logits": 0}},
}


def test_an_invalid_export_in_a_record_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path)
    export, *_ = json.loads((folder / store.CONFIG).read_text())["exports"]
    for fields in INVALID.values():
        with pytest.raises(FolderError, match="exports"):
            store.read_record(config_of(folder, exports=[{**export, **fields}]))
    with pytest.raises(FolderError, match=r"exports should each have a format of its own"):
        store.read_record(config_of(folder, exports=[export, export]))


def test_an_unknown_format_is_refused_with_a_similar_name(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="there is no export format 'onxn'; did you mean onnx"):
        api.export(trained, to=("onxn",), out=tmp_path / "out")
    with pytest.raises(ExportError, match="there is no export format 'zzz'; expected one of onnx, int8, pt2"):
        api.export(trained, to=("zzz",), out=tmp_path / "out")
    with pytest.raises(ExportError, match="there is nothing to export to"):
        api.export(trained, to=(), out=tmp_path / "out")


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    expected = r"to export to onnx needs onnx and onnxscript and onnxruntime: pip install 'residual-zoo\[export\]'"
    with pytest.raises(ExportError, match=expected):
        api.export(trained, out=tmp_path / "out")


# The command.


def test_the_export_command_writes_publishes_and_reports(run_here: Run, tmp_path: Path) -> None:
    finished = run_here("export", "resnet8", "--push", "--hub", f"file:{tmp_path / 'hub'}")
    assert finished.returncode == 0, finished.stderr
    heading, row, held, pushed = finished.stdout.splitlines()
    assert heading.split("\t")[0] == "format"
    assert row.split("\t")[:2] == ["onnx", "onnx/model.onnx"]
    assert row.split("\t")[4] == "0"
    assert held.endswith("the model folder is resnet8_digits-export")
    assert pushed.startswith("published as file:")
