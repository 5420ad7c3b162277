"""Predict the classes of pictures."""

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
    """A class, and the probability from 0 to 1 that the model gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The guesses of a model for a picture, best first; `error` says why a picture can't be read."""

    path: Path
    guesses: tuple[Guess, ...]
    error: str | None = None

    def _repr_html_(self) -> str:
        rows = [(guess.label, f"{guess.probability:.2%}") for guess in self.guesses]
        return table(rows or [(self.error or "",)], caption=str(self.path))


Preprocess = Callable[[Image.Image], Tensor]
Look = Callable[[Image.Image], Tensor]  # from a picture to the probability of every class [num_classes]


def predictions(look: Look, classes: Sequence[str], paths: Iterable[Path], *, top: int) -> Iterator[Prediction]:
    """Predict pictures, of which `paths` are files and folders, one by one; raises ImageError if there is none."""
    given = list(paths)
    pictures = list(image_files(given))
    if not pictures:
        raise ImageError(f"there is no picture in {', '.join(map(str, given)) or 'nothing'}; name files or folders")
    for picture in pictures:
        try:
            likely = look(read_image(picture))
        except ImageError as error:
            yield Prediction(picture, (), str(error))
            continue
        best = likely.topk(min(top, len(likely)))
        guesses = (Guess(classes[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True))
        yield Prediction(picture, tuple(guesses))


def probabilities(net: nn.Module, preprocess: Preprocess, image: Image.Image) -> Tensor:
    """The probability of every class [num_classes] for one picture, as a batch of its own, on the CPU."""
    device = next(net.parameters()).device
    with exact():
        logits: Tensor = net(preprocess(image)[None].to(device))
    return logits[0].float().softmax(dim=0).cpu()
