from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import zoo
from zoo.plugins import core_version


def test_the_public_names_are_documented_and_importable() -> None:
    assert zoo.__all__ == [
        "Architecture", "Dataset", "Model", "Recipe", "ZooError",
        "evaluate", "export", "info", "list_models", "load", "predict", "pull", "push", "reproduce", "train",
        "transforms", "verify",
    ]  # fmt: skip
    assert zoo.__version__ == core_version()
    assert all(getattr(zoo, name).__doc__ for name in zoo.__all__)
    assert set(zoo.__all__) <= set(dir(zoo))


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        zoo.lod  # noqa: B018


def checked_by_mypy() -> None:
    """Use the public names as a script does; `make check` type-checks this function, and nothing calls it."""
    model: nn.Module = zoo.load("resnet8_digits", pretrained=True, num_classes=3)
    done = zoo.train("resnet8", epochs=1, out="out", push=True, hub="file:hub")
    print(model, done.folder, done.config.results.test_top1, done.config.job.recipe.lr)
    print(zoo.evaluate(done.folder).confusion, zoo.verify(done.folder).differences, zoo.pull("resnet8", hub="file:hub"))
    for prediction in [*zoo.predict("resnet8", [Path("photo.png")]), *zoo.predict("resnet8", "photo.png")]:
        print(prediction.guesses[0].label)
    pushed = zoo.push(done.folder, hub="file:hub")
    print(pushed.revision.upper(), zoo.info("resnet8").model, zoo.list_models("resnet*")[0].upper())
    wrong: int = zoo.list_models()  # type: ignore[assignment]
    print(wrong)
