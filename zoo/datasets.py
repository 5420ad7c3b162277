"""The zoo's datasets: CIFAR-10, CIFAR-100 and the digits of scikit-learn.

Means and standard deviations are those of all training pixels. Many scripts for CIFAR-10 use the mean of per-image
deviations, (0.2023, 0.1994, 0.2010); recipes that were published with it set it as their `std`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zoo.errors import DataError
from zoo.spec import Dataset

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class Cifar:
    """A reader of CIFAR by torchvision, which checks the MD5 of each file and downloads missing files."""

    kind: str  # the class: "CIFAR10"

    def __call__(self, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images [N, 32, 32, 3] uint8 and labels [N] int64; raises DataError."""
        import numpy as np
        from torchvision import datasets

        kind = getattr(datasets, self.kind)
        try:
            data = kind(root, train=train, download=True)
        except (OSError, RuntimeError, EOFError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            name = kind.base_folder
            raise DataError(
                f"{root / name} is missing, incomplete or damaged and can't be downloaded ({reason}); "
                f"set data or ZOO_DATA to the folder that contains {name}, or unpack the python version of {self.kind} "
                f"from {CIFAR_PAGE} into {root}"
            ) from error
        return data.data, np.asarray(data.targets, dtype=np.int64)

    def is_whole(self, root: Path) -> bool:
        """Whether all files are in `root` with their MD5."""
        from torchvision import datasets

        try:
            getattr(datasets, self.kind)(root, train=False, download=False)
        except (OSError, RuntimeError, EOFError):
            return False
        return True


def _read_digits(root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read the images of scikit-learn's package. The last 360, some of them by other writers, are the test set."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    part = slice(0, DIGITS.train_images) if train else slice(DIGITS.train_images, None)
    images = np.round(digits.images[part] * (255 / 16)).astype(np.uint8)  # 0 to 16 in the source
    return images[..., None], digits.target[part].astype(np.int64)


CIFAR10 = Dataset(
    name="cifar10",
    title="CIFAR-10",
    classes=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    input_size=(3, 32, 32),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    train_images=50_000,
    test_images=10_000,
    hub_id="uoft-cs/cifar10",
    folder="cifar-10-batches-py",
    is_whole=Cifar("CIFAR10").is_whole,
    read=Cifar("CIFAR10"),
)  # fmt: skip

CIFAR100 = Dataset(
    name="cifar100",
    title="CIFAR-100",
    classes=(
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
        "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
        "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
        "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
        "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew",
        "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
        "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout",
        "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ),
    input_size=(3, 32, 32),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    train_images=50_000,
    test_images=10_000,
    hub_id="uoft-cs/cifar100",
    folder="cifar-100-python",
    is_whole=Cifar("CIFAR100").is_whole,
    read=Cifar("CIFAR100"),
)  # fmt: skip

DIGITS = Dataset(
    name="digits",
    title="Optical recognition of handwritten digits",
    classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    input_size=(1, 8, 8),
    mean=(0.3054,),
    std=(0.3753,),
    train_images=1_437,
    test_images=360,
    hub_id="scikit-learn/digits",
    read=_read_digits,
)

OWN: Final[Mapping[str, Dataset]] = {dataset.name: dataset for dataset in (CIFAR10, CIFAR100, DIGITS)}
