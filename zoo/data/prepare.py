"""Pictures brought to one size, once, into files of the cache (`zoo.data.prepared`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from torchvision.transforms import v2

from zoo.data.look import Seen, Tell, in_parallel
from zoo.data.picture import decode
from zoo.data.prepared import CENTER, Normalisation, Prepared, dataset, place
from zoo.data.preprocess import to_pixels
from zoo.data.survey import Survey
from zoo.errors import DataError, ImageError
from zoo.record.replace import file_written_aside
from zoo.spec import Dataset

CHUNK = 256  # images that are counted at a time


def prepare(found: Survey, size: int, margin: int, tell: Tell) -> Dataset:
    """Bring all pictures to `size` pixels a side, those to train on to `margin` more; what is there is taken.

    Raises DataError where a picture is not the one any more that was looked at, or there is no room.
    """
    input_size = (found.channels, size, size)
    prepared = Prepared(place(found.pictures.sha256), input_size, margin)
    _halve(found, prepared, found.train, tell, train=True)
    _halve(found, prepared, found.test, tell, train=False)
    mean, std = _normalisation(prepared)
    return dataset(found.pictures, found.collection.name, found.collection.classes, prepared, (mean, std))


def _halve(found: Survey, prepared: Prepared, seen: Sequence[Seen], tell: Tell, *, train: bool) -> None:
    """Write a half, if it is not there."""
    import numpy as np

    target, channels = prepared.images(train=train), prepared.input_size[0]
    if target.is_file() and prepared.labels(train=train).is_file():
        return
    side = prepared.input_size[1] + (prepared.margin if train else 0)
    shape, what = (len(seen), side, side, channels), "preparing train" if train else "preparing test"
    pixels = to_pixels((channels, side, side), CENTER)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_written_aside(prepared.labels(train=train)) as file:
            np.save(file, np.array([one.label for one in seen], dtype=np.int64))
        with file_written_aside(target) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for done, content in enumerate(in_parallel(lambda one: _pixels(found, one, pixels), list(seen)), 1):
                file.write(content)
                tell(what, done, len(seen))
    except OSError as error:
        raise DataError(f"{target} can't be written ({error.strerror}); make room, or name another ZOO_CACHE") from None


def _pixels(found: Survey, one: Seen, pixels: v2.Compose) -> bytes:
    """A picture's pixels, [H, W, C] uint8."""
    half = found.collection.test if one.half == "test" else found.collection.train
    assert half is not None
    try:
        content = half.read(one.index)
        if hashlib.sha256(content).hexdigest() != one.sha256:
            raise DataError(f"{one.name} is another picture than a moment ago; let nobody write there, and try again")
        image = pixels(decode(content, one.name))
    except OSError as error:
        raise DataError(f"{one.name} can't be read ({error.strerror or error}); let it be read") from None
    except ImageError as error:
        raise DataError(f"{error}; leave it out of the data set") from None
    made: bytes = image.permute(1, 2, 0).contiguous().numpy().tobytes()
    return made


def _normalisation(prepared: Prepared) -> Normalisation:
    """Mean and std of the training images, from 0 to 1, a number a channel; kept beside them."""
    import numpy as np

    kept = prepared.images(train=True).with_suffix(".json")
    try:
        facts = json.loads(kept.read_text())
        return tuple(facts["mean"]), tuple(facts["std"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    images, _ = prepared(Path(), train=True)
    channels = prepared.input_size[0]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), CHUNK):
        values = images[start : start + CHUNK].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(values[:, channel], minlength=256)
    levels, total = np.arange(256) / 255, counts[0].sum()
    mean = (counts * levels).sum(1) / total
    std = np.sqrt(np.maximum((counts * levels**2).sum(1) / total - mean**2, 0))
    # Of pictures of one colour nothing is left to be divided by.
    rounded = [[round(float(one), 4) for one in values] for values in (mean, np.maximum(std, 1e-3))]
    kept.write_text(json.dumps({"mean": rounded[0], "std": rounded[1]}))
    return tuple(rounded[0]), tuple(rounded[1])
