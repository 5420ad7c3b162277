"""The one gate that a config.json passes, whoever wrote it: what it says is bounded before anything is done with it.

Sizes before anything is allocated, names before anything is opened or printed, lengths against one
another before anything is indexed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from zoo.folder.config import CONFIG, CURVE, LOG, README, WEIGHTS, Config, EpochRow, Provenance
from zoo.schema import SchemaError
from zoo.spec import NAME

CONFIG_BYTES = 32 * 2**20  # a config.json of 10,000 classes has a megabyte
SIDE = 4096  # pixels
CHANNELS = 64
CLASSES = 100_000
TEXT = 2_000  # characters
EXPORTS = 16
LARGEST = 1e39  # of a loss: float32's end
OWN_FILES = (README, CONFIG, WEIGHTS, LOG, CURVE)
SHA256 = re.compile(r"[0-9a-f]{64}")
ORIGINAL = re.compile(r"[0-9a-f]{8}|[0-9a-f]{64}")
TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _finite(number: str) -> float:
    """What a number says, unless that is none: Infinity and NaN, 1e999."""
    value = float(number)
    if not math.isfinite(value):
        raise SchemaError(f"it has {number[:20]}, which is no number")
    return value


DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
# Parts of a name in a folder: no hidden files, no way up.
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def decoded(text: str) -> object:
    """A JSON document; raises SchemaError for what is none, or is deeper or has longer numbers than any of ours."""

    try:
        return DECODER.decode(text)
    except SchemaError:
        raise
    except json.JSONDecodeError as error:
        raise SchemaError(f"it is not JSON ({error})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        raise SchemaError(f"it is no document of ours ({type(error).__name__})") from None


def require_sound(config: Config) -> None:
    """Refuse facts that can't be a model's; raises SchemaError, naming the place."""
    for place, name in (
        ("name", config.name),
        ("architecture", config.architecture),
        ("dataset", config.dataset),
    ):
        _require_name(name, place)
    _require((config.job is None) != (config.origin is None), "job", "there, or an origin")
    whole = f"{config.architecture}_{config.dataset}"
    if config.origin is None:
        _require(config.name == whole, "name", f"{whole}, its architecture's and its data set's")
        _require_trained(config)
    else:
        tag = config.name.removeprefix(f"{whole}.")
        _require(tag != config.name and TAG.fullmatch(tag) is not None, "name", f"{whole}.TAG")
        _require_origin(config, config.origin)
    _require_texts(config)
    channels, *sides = config.input_size
    _require(1 <= channels <= CHANNELS, "input_size", f"of 1 to {CHANNELS} channels")
    _require(all(1 <= side <= SIDE for side in sides), "input_size", f"of 1 to {SIDE} pixels a side")
    _require(1 <= len(config.classes) <= CLASSES, "classes", f"1 to {CLASSES:,} names")
    for place, values in (("mean", config.mean), ("std", config.std)):
        _require(len(values) == channels, place, f"of {channels} numbers, one a channel")
        _require(all(map(math.isfinite, values)), place, "finite")
    _require(all(value > 0 for value in config.std), "std", "above 0")
    _require(0 < config.parameters < 2**40, "parameters", "a number of values")
    _require_results(config)
    for row in config.known_answers:
        _require(len(row) == len(config.classes), "known_answers", "a logit for every class")
        _require(all(map(math.isfinite, row)), "known_answers", "finite")
    _require_files(config)
    _require_exports(config)
    _require_pictures(config)


def _require_trained(config: Config) -> None:
    job, training = config.job, config.training
    assert job is not None
    _require(training is not None, "training", "there")
    _require(config.results is not None, "results", "there")
    _require(config.environment is not None, "environment", "there")
    assert training is not None
    _require_name(job.recipe_name, "job.recipe_name")
    _require(job.name == config.name, "job", "of the same model")
    _require(config.recipe_sha256 == job.recipe.sha256(), "recipe_sha256", "that of the job's recipe")
    for place, origin in (("job.start", job.start), ("job.teacher", job.teacher)):
        if origin is not None:
            require_line(origin.address, f"{place}.address")
            _require(SHA256.fullmatch(origin.sha256) is not None, f"{place}.sha256", "64 hex digits")
    require_line(job.recipe.teacher or "", "job.recipe.teacher")
    require_line(training.compile_why, "training.compile_why")
    if (half := training.half) is not None:
        _require(0 <= half.fp32_top1 <= 100 and 0 <= half.fp16_top1 <= 100, "training.half", "of top-1 from 0 to 100")
        _require(0 < half.images < 2**40, "training.half.images", "a number of images")
    for seconds in (training.train_seconds, training.compile_seconds):
        _require(math.isfinite(seconds) and seconds >= 0, "training", "of so many seconds")


def _require_origin(config: Config, origin: Provenance) -> None:
    _require(config.training is None and not config.seeds, "training", "left out beside an origin")
    _require(config.recipe_sha256 is None, "recipe_sha256", "left out beside an origin")
    known = WEIGHTS in config.files
    _require(known or bool(origin.address), "origin.address", "there where the weights are not")
    _require(known or config.results is None, "results", "left out where nobody had the weights")
    _require(bool(origin.by), "origin.by", "a name")
    for name in ("by", "address", "file", "revision", "citation", "mapped"):
        require_line(getattr(origin, name), f"origin.{name}")
    _require(PART.fullmatch(origin.file) is not None, "origin.file", "a file's name")
    _require(ORIGINAL.fullmatch(origin.sha256) is not None, "origin.sha256", "64 hex digits, or the first 8")
    _require(origin.bytes is None or 0 < origin.bytes < 2**40, "origin.bytes", "a number of bytes")
    _require(0 < origin.threads < 2**20, "origin.threads", "a number of threads")
    if (claim := origin.claim) is not None:
        _require(0 <= claim.test_top1 <= 100, "origin.claim.test_top1", "from 0 to 100")
        require_line(claim.meaning, "origin.claim.meaning")


def _require_texts(config: Config) -> None:
    texts = {
        "license": config.license,
        "paper": config.paper,
        "pin.hub": config.pin.hub if config.pin else "",
        "pin.revision": config.pin.revision if config.pin else "",
        **{f"versions.{name}": value for name, value in vars(config.versions).items()},
        **{f"classes[{number}]": name for number, name in enumerate(config.classes)},
    }
    if (environment := config.environment) is not None:
        texts |= {f"environment.{name}": value or "" for name, value in vars(environment).items()}
    for place, text in texts.items():
        require_line(text, place)


def _require_name(name: str, place: str) -> None:
    _require(len(name) <= 200 and NAME.fullmatch(name) is not None, place, "a name of a-z, 0-9, '.', '_' and '-'")


def require_line(text: str, place: str) -> None:
    """Refuse a text that is no line, or has no end; raises SchemaError."""
    _require(len(text) <= TEXT and not CONTROL.search(text), place, f"one line of up to {TEXT} characters")


def require_epoch(row: EpochRow) -> None:
    """Refuse an epoch of a log that can't be one, nor be drawn; raises SchemaError."""
    _require(0 < row.epoch < 2**31, "epoch", "from 1")
    for name, value in vars(row).items():
        _require(value is None or abs(value) <= LARGEST, name, f"up to {LARGEST}")


def require_row(parameters: int, test_top1: float | None) -> None:
    """Refuse what a listing can't show of a model; raises SchemaError."""
    _require(0 < parameters < 2**40, "parameters", "a number of values")
    _require(test_top1 is None or 0 <= test_top1 <= 100, "test_top1", "from 0 to 100")


def _require_pictures(config: Config) -> None:
    sha256 = config.job.pictures if config.job else ""
    _require((config.pictures.sha256 if config.pictures else "") == sha256, "pictures.sha256", "that of the job")
    if (pictures := config.pictures) is None:
        return
    _require(SHA256.fullmatch(pictures.sha256) is not None, "pictures.sha256", "64 hex digits")
    for name in ("address", "title", "license", "homepage"):
        require_line(getattr(pictures, name), f"pictures.{name}")
    for name in ("train_images", "test_images", "fewest"):
        _require(0 < getattr(pictures, name) < 2**40, f"pictures.{name}", "a number of pictures")
    _require(0 <= pictures.skipped < 2**40, "pictures.skipped", "a number of pictures")
    _require(pictures.test_part is None or 0 < pictures.test_part < 1, "pictures.test_part", "between 0 and 1")


def _require_results(config: Config) -> None:
    if (results := config.results) is None:
        return
    for place, value in (("test_top1", results.test_top1), ("test_top5", results.test_top5)):
        _require(0 <= value <= 100, f"results.{place}", "from 0 to 100")
    _require(math.isfinite(results.test_loss), "results.test_loss", "finite")
    _require(results.test_images > 0, "results.test_images", "above 0")


def _require_files(config: Config) -> None:
    _require(WEIGHTS in config.files or config.origin is not None, "files", f"with {WEIGHTS}")
    _require(len(config.files) <= 1000, "files", "up to 1,000")
    for name, file in config.files.items():
        parts = PurePosixPath(name).parts
        sound = str(PurePosixPath(name)) == name and len(parts) <= 4 and all(map(PART.fullmatch, parts))
        _require(sound, "files", "names inside the folder")
        _require(SHA256.fullmatch(file.sha256) is not None, "files", "hashed with 64 hex digits")
        _require(0 <= file.bytes < 2**40, "files", "of so many bytes")


def _require_exports(config: Config) -> None:
    _require(len(config.exports) <= EXPORTS, "exports", f"up to {EXPORTS}")
    for place, of_each in (
        ("format", [one.format for one in config.exports]),
        ("file", [one.file for one in config.exports]),
    ):
        _require(len(set(of_each)) == len(of_each), f"exports.{place}", "another one each")
    for number, one in enumerate(config.exports):
        place, test = f"exports[{number}]", one.test
        _require_name(one.format, f"{place}.format")
        _require(one.file in config.files and one.file not in OWN_FILES, f"{place}.file", "one of the folder's files")
        for name in ("runtime", "device"):
            require_line(getattr(one, name), f"{place}.{name}")
        _require(0 < one.threads < 2**20, f"{place}.threads", "a number of threads")
        _require(math.isfinite(one.known_logits) and one.known_logits >= 0, f"{place}.known_logits", "a distance")
        if test is not None:
            _require(0 <= test.test_top1 <= 100, f"{place}.test.test_top1", "from 0 to 100")
            _require(0 <= test.otherwise <= test.test_images < 2**40, f"{place}.test", "of so many images")
            _require(test.test_images > 0, f"{place}.test.test_images", "above 0")
            _require(math.isfinite(test.logits) and test.logits >= 0, f"{place}.test.logits", "a distance")


def _require(condition: bool, place: str, expected: str) -> None:
    if not condition:
        raise SchemaError(f"{place} should be {expected}")


def mapping(value: object) -> Mapping[str, object]:
    """The document as an object; raises SchemaError where it is another kind of JSON."""
    if not isinstance(value, Mapping):
        raise SchemaError("the document should be an object")
    return value
