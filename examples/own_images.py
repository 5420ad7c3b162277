"""Train models on a folder of images: from scratch, by fine-tuning, and by training only the last layer.

python examples/own_images.py [--images 40] [--epochs 12] [--out own_images]

The script draws the images: four shapes of random color, size and position, on images of various sizes. It takes
about a minute on two cores. docs/images.md shows the commands for your own images.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import zoo
from zoo import api

CORNERS: dict[str, list[tuple[float, float]]] = {  # of shapes, within -1 to 1
    "bar": [(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)],
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "star": [(0, -1), (0.25, -0.25), (1, 0), (0.25, 0.25), (0, 1), (-0.25, 0.25), (-1, 0), (-0.25, -0.25)],
    "triangle": [(0, -0.9), (0.9, 0.7), (-0.9, 0.7)],
}
SETTINGS = {"img_size": "32", "batch_size": "16", "hflip": "0.5"}


def draw(folder: Path, images: int, chance: random.Random) -> None:
    """Draw images of each shape into `folder/SHAPE`."""
    for name, corners in CORNERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            width, height = chance.randint(40, 90), chance.randint(40, 90)
            side = min(width, height)
            image = Image.frombytes("L", (width, height), chance.randbytes(width * height)).convert("RGB")
            radius = chance.uniform(0.25, 0.4) * side
            x, y = width / 2 + chance.uniform(-0.1, 0.1) * side, height / 2 + chance.uniform(-0.1, 0.1) * side
            color = tuple(chance.randint(0, 255) for _ in range(3))
            ImageDraw.Draw(image).polygon([(x + radius * a, y + radius * b) for a, b in corners], fill=color)
            image.filter(ImageFilter.GaussianBlur(1)).save(folder / name / f"{number:03}.png")


def main(out: Path, images: int, epochs: int) -> None:
    """Draw images, train three models, print their accuracy, then publish, load and use the second model."""
    folder, hub = out / "shapes", f"file:{out / 'hub'}"
    draw(folder / "train", images, random.Random(0))
    draw(folder / "test", images // 2, random.Random(1))
    address = f"folder:{folder}"

    survey = api.survey(address)
    print(f"{survey.collection.name}: {len(survey.train)} images to train on, {len(survey.test)} to test with")
    for name, train, test in survey.counts():
        print(f"  {name:<8} {train:>3} {test:>3}")

    starts: dict[str, str | None] = {"quick": None, "finetune": "resnet20_cifar10", "linear": "resnet20_cifar10"}
    for recipe, start in starts.items():
        done = zoo.train(
            "resnet20", dataset=address, start=start, recipe=recipe, epochs=epochs, settings=SETTINGS,
            license="cc0-1.0", out=out / recipe, overwrite=True, eval_every=epochs,
        )  # fmt: skip
        results = done.config.results
        assert results is not None
        low, high = results.interval
        print(f"{recipe:<8} from {start or 'scratch':<16}  top-1 {results.test_top1:.1f}%, {low:.0f}% to {high:.0f}%")

    print(f"verify: {zoo.verify(out / 'finetune').outcome}")
    pushed = zoo.push(out / "finetune", hub=hub)
    print(f"published as {pushed.address}")
    net = zoo.load(str(pushed.address), pretrained=True)
    print(f"loaded back: {sum(parameter.numel() for parameter in net.parameters()):,} parameters")
    draw(out / "new", 1, random.Random(2))
    for prediction in zoo.predict(str(pushed.address), [out / "new"]):
        guesses = ", ".join(f"{guess.label} {guess.probability:.0%}" for guess in prediction.guesses[:2])
        print(f"a new {prediction.path.parent.name}: {guesses}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--images", type=int, default=40, help="training images of each shape; half as many for the test"
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("own_images"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.images, arguments.epochs)
