"""Random model folders and images: the zoo answers correctly or refuses them with a ZooError.

The code under test runs in a new process (`bounded`) with limits: 1 GB of additional memory and 5 seconds of CPU time.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import resource
import shutil
import signal
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from zoo import api, registry
from zoo.datasets import DIGITS
from zoo.errors import HubWarning, ZooError
from zoo.evaluation.predict import predictions, probabilities
from zoo.hub.resolve import published
from zoo.plain import one_line
from zoo.record import store
from zoo.record.types import File

T = TypeVar("T")

NAME = "resnet8_digits"
MEMORY = 2**30
SECONDS = 5  # of CPU time
PATIENCE = 60  # seconds; long because the machine may be busy


# Limits.


class Exceeded(BaseException):
    """A limit was exceeded. Not an Exception, which the zoo catches around calls of other libraries."""


def bounded() -> None:
    """Prepare this process for the limits of `attempt`."""
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    registry.load_all(registry.entries().values())
    signal.signal(signal.SIGPROF, _stop)
    signal.signal(signal.SIGALRM, _stop)


def _stop(number: int, _: object) -> None:
    raise Exceeded(f"took over {SECONDS} s" if number == signal.SIGPROF else f"hung for {PATIENCE} s")


def attempt(operation: Callable[[], T]) -> T | None:
    """Run an operation within the limits; returns None if it raises a ZooError, and requires warnings of one line."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", HubWarning)
            return operation()
    except ZooError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for warning in caught:
            require_line(str(warning.message))


def require_line(text: str) -> None:
    """Require a line of limited length without control characters."""
    assert text == one_line(text), f"not a line: {text[:500]!r}"


# Changed JSON.

# Texts that stand for values that json.dumps does not write.
RAW = {
    "<deep>": "[" * 100_000 + "]" * 100_000,
    "<deep for us>": "[" * 900 + "]" * 900,
    "<digits>": "9" * 5_000,
    "<exponent>": "1e999999999",
    "<long>": '"' + "x" * 1_000_000 + '"',
    "<nothing>": "",
    "<twice>": '1, "format": 2, "name": "other"',
}
TEXTS = [
    "", "\x1b[31mred\x1b[0m", "two\nlines", "\r\x00", "\ud800", "\u2028", "\u202egpj", "[/x][bold]", "$\\frac$",
    "../../escaped", "/etc/passwd", "FOLDER", "~nobody/x", "file:/etc", "hf://nobody/resnet8_digits", "file:a\0b",
    "resnet8_digits", "resnet20_cifar10", "Ⅷ", "١", "nan", "-0", "model.safetensors", "a" * 300, "x" * 3_000,
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2, 7, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, 1e308, 5e-324, -1e308, 0.1, 1.5, 1e18,
    float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
FINITE = [number for number in NUMBERS if isinstance(number, float) and math.isfinite(number)]
SCALARS = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(sorted(RAW)),
    st.sampled_from([None, True, False]),
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.floats(),
    st.integers(),
)
VALUES = st.one_of(
    SCALARS,
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*TEXTS, "file"]), inner, max_size=3)
        ),
        max_leaves=4,
    ),
)


def _paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document, with the first two entries of a list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def edited(draw: st.DrawFn, document: Any) -> tuple[Any, tuple[str, ...]]:
    """Change one to three values of a document; returns it with a description of the changes."""
    document, done = json.loads(json.dumps(document)), []
    for _ in range(draw(st.integers(1, 3))):
        paths = list(_paths(document))
        if not paths:
            break
        *way, key = draw(st.sampled_from(paths))
        inside = functools.reduce(lambda value, step: value[step], way, document)
        how = draw(st.sampled_from(["replace", "delete", "add", "wrap", "text", "repeat", "near", "near"]))
        match how:
            case "replace":
                inside[key] = draw(VALUES)
            case "delete":
                del inside[key]
            case "add" if isinstance(inside, dict):
                inside[draw(st.sampled_from(TEXTS) | st.text(max_size=5))] = draw(VALUES)
            case "wrap":
                inside[key] = draw(st.sampled_from([[inside[key]], {"x": inside[key]}, {}, []]))
            case "text":
                inside[key] = str(inside[key])
            case "repeat" if isinstance(inside[key], list):
                inside[key] = inside[key] * draw(st.sampled_from([0, 2, 300]))
            case "near" if isinstance(inside[key], int | float):
                inside[key] = draw(st.sampled_from([inside[key] + 1, -inside[key], inside[key] * 2**40, *FINITE]))
            case _:
                inside[key] = draw(SCALARS)
        done.append(f"{how} {[*way, key]} -> {ascii(inside)[-300:]}")
    return document, tuple(done)


def as_text(document: object) -> str:
    """Convert to JSON, with the texts in RAW."""
    text = json.dumps(document)
    for mark, raw in RAW.items():
        text = text.replace(json.dumps(mark), raw)
    return text


def agrees(read: object, written: object) -> bool:
    """Whether values that were read equal those that were written; missing values have defaults."""
    if isinstance(read, dict) and isinstance(written, dict):
        return all(agrees(value, written[key]) for key, value in read.items() if key in written)
    if isinstance(read, list) and isinstance(written, list):
        return len(read) == len(written) and all(map(agrees, read, written))
    if isinstance(read, float) and isinstance(written, int):
        return read == float(written)  # the integer 1 is read as 1.0
    return read == written and isinstance(read, bool) == isinstance(written, bool)


# Changed bytes.


def mangled(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, extend, change or replace bytes."""
    where = draw(st.integers(0, max(0, len(content) - 1)))
    match draw(st.sampled_from(["cut", "longer", "flip", "insert", "none", "text", "zeros"])):
        case "cut":
            return content[:where]
        case "longer":
            return content + b"\0" * draw(st.sampled_from([1, 7, 100_000]))
        case "flip":
            return content[:where] + bytes([content[where] ^ draw(st.integers(1, 255))]) + content[where + 1 :]
        case "insert":
            return content[:where] + draw(st.binary(min_size=1, max_size=8)) + content[where:]
        case "none":
            return b""
        case "text":
            return "\ufeff{}\n\u2028".encode() + draw(st.binary(max_size=20))
        case _:
            return b"\0" * len(content)


# Model folders in a hub, with a random file.


class Content(bytes):
    """The content of a file, with a short repr."""

    def __repr__(self) -> str:
        return f"<{len(self):,} bytes>"


@dataclass(frozen=True)
class Folder:
    """A random file, whether config.json has its hash, and the operation to test."""

    operation: str
    name: str
    edits: tuple[str, ...]
    content: Content
    renewed: bool

    @property
    def is_untouched(self) -> bool:
        """Whether the weights are unchanged."""
        return self.name != store.WEIGHTS


OPERATIONS = ["read", "load", "pull", "push", "verify"]


@st.composite
def configs(draw: st.DrawFn, model: Path) -> Folder:
    """A config.json with random values or bytes."""
    path = model / store.CONFIG
    content, edits = path.read_bytes(), tuple[str, ...](["mangled"])
    if draw(st.integers(0, 9)) == 0:
        content = mangled(draw, content)
    else:
        document, edits = edited(draw, json.loads(content))
        content = as_text(document).encode()
    return Folder(draw(st.sampled_from(OPERATIONS)), store.CONFIG, edits, Content(content), renewed=False)


@st.composite
def weights(draw: st.DrawFn, model: Path) -> Folder:
    """A safetensors file with a random header or bytes."""
    content, edits = (model / store.WEIGHTS).read_bytes(), ["mangled"]
    if draw(st.integers(0, 9)) == 0:
        content = mangled(draw, content)
    else:
        (length,) = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        names = draw(st.lists(st.sampled_from(sorted(header)), min_size=1, max_size=2))
        changed = {name: _header_row(draw, header.get(name, {})) for name in names}
        about = draw(st.sampled_from([None, [], {"a": 1}, {"a": "b"}, header["__metadata__"]]))
        text = as_text({**header, "__metadata__": about, **changed})
        if is_twice := draw(st.integers(0, 9)) == 0:
            text = f"{text[:-1]},{text[1:]}"  # repeats every name
        length_field = len(text) + draw(st.sampled_from([0] * 8 + [1, -1, 2**63, 2**40, 10**9, -len(text)]))
        more = draw(st.sampled_from([0, 0, 0, 8, -8]))
        content = struct.pack("<Q", length_field) + text.encode() + (data + bytes(more) if more >= 0 else data[:more])
        edits = [ascii(changed)[:1000], ascii(about), f"length {length_field}", f"{more} more", "twice" * is_twice]
    operation = draw(st.sampled_from(["load", "load", "pull", "push", "verify"]))
    return Folder(operation, store.WEIGHTS, tuple(edits), Content(content), draw(st.integers(0, 4)) > 0)


def _header_row(draw: st.DrawFn, row: Any) -> Any:
    match draw(st.sampled_from(["dtype", "shape", "offsets", "edit", "other"])):
        case "dtype":
            kinds = ["F64", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "F4", "X", ""]
            return {**row, "dtype": draw(st.sampled_from(kinds))}
        case "shape":
            sides = st.sampled_from([0, 1, 2, 10, 16, 64, 2**31, 2**40, 2**63, -1, 1.0])
            return {**row, "shape": draw(st.lists(sides, max_size=5))}
        case "offsets":
            ends = st.sampled_from([0, 8, 56, 120, 301_984, 301_992, 2**40, 2**64 - 1, -8])
            return {**row, "data_offsets": draw(st.lists(ends, min_size=1, max_size=3))}
        case "edit" if row:
            return edited(draw, {"": row})[0].get("", {})
        case _:
            return draw(VALUES)


def check_folder(model: Path, case: Folder) -> None:
    """Put the folder into a hub, run the operation, and compare the result with the files."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        root = Path(scratch)
        folder = root / "hub" / NAME
        shutil.copytree(model, folder)
        (folder / case.name).write_bytes(case.content)
        if case.renewed:
            config = json.loads((folder / store.CONFIG).read_text())
            file = File.of(case.content)
            config["files"][case.name] = {"sha256": file.sha256, "bytes": file.bytes}
            (folder / store.CONFIG).write_text(json.dumps(config))
        Path("here").mkdir()
        os.chdir("here")
        CHECKS[case.operation](model, case, folder)
        assert {path.name for path in root.iterdir()} <= {"hub", "here", "other"}, "written outside"
        assert {path.name for path in Path().iterdir()} <= {NAME}, "written outside"


def check_read(_: Path, case: Folder, folder: Path) -> None:
    config = attempt(lambda: store.read_record(folder))
    if config is not None and json.loads(case.content).get("format") == 1:
        assert agrees(json.loads(store.encode(config)), json.loads(case.content))


def check_load(model: Path, case: Folder, folder: Path) -> None:
    net = attempt(lambda: api.load(folder, pretrained=True))
    if net is not None:
        require_net(model, case, net)


def require_net(model: Path, case: Folder, net: nn.Module) -> None:
    """Require the tensors of the file, or the original logits if the weights are unchanged."""
    if case.is_untouched:
        assert torch.equal(logits(net), right_logits(model))
    else:
        assert case.renewed or case.content == (model / store.WEIGHTS).read_bytes()
        require_tensors(case.content, net)


def require_tensors(content: bytes, net: nn.Module) -> None:
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    for name, own in net.state_dict().items():
        start, end = header[name]["data_offsets"]
        kind = {"F32": np.float32, "F16": np.float16, "I64": np.int64}[header[name]["dtype"]]
        written = np.frombuffer(data[start:end], kind).reshape(header[name]["shape"])
        np.testing.assert_array_equal(own.numpy(), written)


def logits(net: nn.Module) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = net(torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8))
    return outputs


@functools.cache
def right_logits(model: Path) -> Tensor:
    return logits(api.load(model, pretrained=True))


def check_pull(_: Path, case: Folder, folder: Path) -> None:
    pulled = attempt(lambda: api.pull(NAME, hub=f"file:{folder.parent}"))
    if pulled is not None:
        assert pulled == Path(NAME)
        assert (pulled / case.name).read_bytes() == case.content
        store.check(pulled)


def check_push(_: Path, case: Folder, folder: Path) -> None:
    pushed = attempt(lambda: api.push(folder, hub="file:../other"))
    if pushed is not None:
        assert (Path("../other") / NAME / case.name).read_bytes() == case.content
        assert pushed.revision == store.identity(folder)


def check_verify(model: Path, case: Folder, folder: Path) -> None:
    verification = attempt(lambda: api.verify(folder))
    if verification is not None:
        for check in verification.checks:
            require_line(check.finding)
        if verification.outcome == "as published":
            torch.testing.assert_close(logits(api.load(folder, pretrained=True)), right_logits(model), atol=0.1, rtol=0)


CHECKS: dict[str, Callable[[Path, Folder, Path], None]] = {
    "read": check_read,
    "load": check_load,
    "pull": check_pull,
    "push": check_push,
    "verify": check_verify,
}


# Images.

MODES = [
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16",
]  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A file that may be an image."""

    suffix: str
    note: str
    content: Content


@st.composite
def pictures(draw: st.DrawFn, _: Path) -> Picture:
    """An image of any mode, size, format and orientation, possibly damaged."""
    suffix = draw(st.sampled_from(["png", "jpg", "webp", "gif", "bmp", "tiff", "ppm", "tga", "ico", "jp2", "eps"]))
    mode = draw(st.sampled_from(MODES))
    size = draw(st.sampled_from([(8, 8), (1, 1), (32, 32), (1, 3000), (3000, 1), (300, 200)]))
    orientation, frames = draw(st.integers(0, 12)), draw(st.sampled_from([1, 1, 1, 3]))
    note = f"{mode} {size} {orientation} {frames}"
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    grey = Image.frombytes("L", size, bytes(i % 251 for i in range(size[0] * size[1])))
    try:
        image = grey.convert(mode) if mode not in ("I;16", "LAB") else Image.new(mode, size)
        more = {"save_all": True, "append_images": [image] * (frames - 1)} if frames > 1 else {}
        image.save(buffer, Image.registered_extensions()[f".{suffix}"], exif=exif, **more)
    except (OSError, ValueError, KeyError):  # the format does not support the mode
        grey.save(buffer, "PNG", exif=exif)
    content = buffer.getvalue()
    if draw(st.booleans()):
        return Picture(suffix, note, Content(content))
    return Picture(suffix, f"{note} mangled", Content(mangled(draw, content)))


def check_picture(model: Path, case: Picture) -> None:
    """Predict: the result is probabilities or an error of one line."""
    predict = functools.partial(probabilities, *published_net(model))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"image.{case.suffix}"
        path.write_bytes(case.content)
        answers = attempt(lambda: list(predictions(predict, DIGITS.classes, [path], top=10)))
    assert answers is not None
    (answer,) = answers
    if answer.error is not None:
        require_line(answer.error)
    else:
        assert abs(sum(guess.probability for guess in answer.guesses) - 1) < 1e-4


@functools.cache
def published_net(model: Path) -> tuple[nn.Module, Any]:
    loaded = published(model)
    return loaded.net(), loaded.preprocess


# Strategies, their checks, and their part of the cases.

KINDS: dict[str, tuple[Callable[[Path], st.SearchStrategy[Any]], Callable[[Path, Any], None], float]] = {
    "config": (configs, check_folder, 0.4),
    "weights": (weights, check_folder, 0.25),
    "picture": (pictures, check_picture, 0.15),
}


def fuzz(kind: str, model: Path, cases: int, *, randomize: bool) -> None:
    """Check random cases; with `randomize`, other cases in every run. Raises for the smallest failing case."""
    strategy, check, part = KINDS[kind]

    @hypothesis.settings(
        max_examples=max(1, int(cases * part)),
        derandomize=not randomize,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
        report_multiple_bugs=True,
    )
    @hypothesis.given(strategy(model))
    def each(case: object) -> None:
        check(model, case)

    each()
