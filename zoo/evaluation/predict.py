"""What a model sees in a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

from zoo.data.images import image_files, read_image
from zoo.errors import ImageError
from zoo.nets.device import exact


@dataclass(frozen=True)
class Guess:
    """A class, and the probability from 0 to 1 that the model gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a model sees in a picture, best guess first; where the picture can't be read, why not."""

    path: Path
    guesses: tuple[Guess, ...]
    error: str | None = None


Preprocess = Callable[[Image.Image], Tensor]
Look = Callable[[Image.Image], Tensor]  # from a picture to the probability of every class [num_classes]


def predictions(look: Look, classes: Sequence[str], paths: Iterable[Path], *, top: int) -> Iterator[Prediction]:
    """What is seen in pictures, one by one, the `top` guesses; a folder means all pictures in it.

    Raises ImageError where there is no picture at all.
    """
    asked = list(paths)
    found = list(image_files(asked))
    if not found:
        raise ImageError(f"there is no picture in {', '.join(map(str, asked)) or 'nothing'}; name files or folders")
    for picture in found:
        try:
            likely = look(read_image(picture))
        except ImageError as error:
            yield Prediction(picture, (), str(error))
            continue
        best = likely.topk(min(top, len(likely)))
        guesses = (Guess(classes[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True))
        yield Prediction(picture, tuple(guesses))


def probabilities(net: nn.Module, preprocess: Preprocess, image: Image.Image) -> Tensor:
    """The probability of every class [num_classes] for one picture, on the CPU.

    The picture goes through the net alone, so what it gets doesn't depend on what else is asked.
    """
    device = next(net.parameters()).device
    with exact():
        logits: Tensor = net(preprocess(image)[None].to(device))
    return logits[0].float().softmax(dim=0).cpu()
