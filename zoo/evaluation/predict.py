"""Predict the classes of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

from zoo.data.images import image_files, read_image
from zoo.errors import ImageError
from zoo.nets.device import exact
from zoo.notebook import table


@dataclass(frozen=True)
class Guess:
    """A class and its probability, from 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image, best first; `error` says why an image can't be read."""

    path: Path
    guesses: tuple[Guess, ...]
    error: str | None = None

    def _repr_html_(self) -> str:
        rows = [(guess.label, f"{guess.probability:.2%}") for guess in self.guesses]
        return table(rows or [(self.error or "",)], caption=str(self.path))


Preprocess = Callable[[Image.Image], Tensor]
Look = Callable[[Image.Image], Tensor]  # from an image to the probabilities of all classes [num_classes]


def predictions(look: Look, classes: Sequence[str], paths: Iterable[Path], *, top: int) -> Iterator[Prediction]:
    """Predict images.

    Args:
        look: Computes the probabilities for an image.
        classes: The names of the classes.
        paths: Image files, and folders of them.
        top: The number of guesses for an image.

    Returns:
        An iterator over the predictions, in the order of the images.

    Raises:
        ImageError: The paths contain no image.
    """
    sources = list(paths)
    files = list(image_files(sources))
    if not files:
        raise ImageError(f"there is no image in {', '.join(map(str, sources)) or 'nothing'}; name files or folders")
    for file in files:
        try:
            scores = look(read_image(file))
        except ImageError as error:
            yield Prediction(file, (), str(error))
            continue
        best = scores.topk(min(top, len(scores)))
        guesses = (Guess(classes[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True))
        yield Prediction(file, tuple(guesses))


def probabilities(net: nn.Module, preprocess: Preprocess, image: Image.Image) -> Tensor:
    """The probabilities of all classes [num_classes] for an image, computed as a batch of 1; on the CPU."""
    device = next(net.parameters()).device
    with exact():
        logits: Tensor = net(preprocess(image)[None].to(device))
    return logits[0].float().softmax(dim=0).cpu()
