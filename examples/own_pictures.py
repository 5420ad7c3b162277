"""A folder of pictures becomes models: one from scratch, two begun with weights that know other pictures.

python examples/own_pictures.py [--pictures 40] [--epochs 12] [--out own_pictures]

The pictures are drawn here: four shapes, in any colour, size and place, on pictures of any size. It takes about a
minute on two cores. With pictures of your own it is three commands: docs/pictures.md.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

# A plain checkout is enough: nothing of it has to be installed.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import zoo
from zoo import api

CORNERS: dict[str, list[tuple[float, float]]] = {  # of a shape in a square from -1 to 1
    "bar": [(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)],
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "star": [(0, -1), (0.25, -0.25), (1, 0), (0.25, 0.25), (0, 1), (-0.25, 0.25), (-1, 0), (-0.25, -0.25)],
    "triangle": [(0, -0.9), (0.9, 0.7), (-0.9, 0.7)],
}
HOW = {"img_size": "32", "batch_size": "16", "hflip": "0.5"}


def draw(folder: Path, pictures: int, chance: random.Random) -> None:
    """Draw so many pictures of each shape into `folder/SHAPE`."""
    for name, corners in CORNERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(pictures):
            width, height = chance.randint(40, 90), chance.randint(40, 90)
            side = min(width, height)
            picture = Image.frombytes("L", (width, height), chance.randbytes(width * height)).convert("RGB")
            radius = chance.uniform(0.25, 0.4) * side
            x, y = width / 2 + chance.uniform(-0.1, 0.1) * side, height / 2 + chance.uniform(-0.1, 0.1) * side
            colour = tuple(chance.randint(0, 255) for _ in range(3))
            ImageDraw.Draw(picture).polygon([(x + radius * a, y + radius * b) for a, b in corners], fill=colour)
            picture.filter(ImageFilter.GaussianBlur(1)).save(folder / name / f"{number:03}.png")


def main(out: Path, pictures: int, epochs: int) -> None:
    """Draw, look, train three times, and say what each came to; publish the second, load it back, and ask it."""
    folder, hub = out / "shapes", f"file:{out / 'hub'}"
    draw(folder / "train", pictures, random.Random(0))
    draw(folder / "test", pictures // 2, random.Random(1))
    address = f"folder:{folder}"

    found = api.survey(address)
    print(f"{found.collection.name}: {len(found.train)} pictures to train on, {len(found.test)} to test with")
    for name, train, test in found.counts():
        print(f"  {name:<8} {train:>3} {test:>3}")

    ways: dict[str, str | None] = {"quick": None, "finetune": "resnet20_cifar10", "linear": "resnet20_cifar10"}
    for recipe, start in ways.items():
        done = zoo.train(
            "resnet20",
            dataset=address,
            start=start,
            recipe=recipe,
            epochs=epochs,
            settings=HOW,
            license="cc0-1.0",
            out=out / recipe,
            overwrite=True,
            eval_every=epochs,
        )
        results = done.config.results
        assert results is not None
        low, high = results.interval
        print(f"{recipe:<8} from {start or 'scratch':<16}  top-1 {results.test_top1:.1f}%, {low:.0f}% to {high:.0f}%")

    print(f"verify: {zoo.verify(out / 'finetune').outcome}")
    pushed = zoo.push(out / "finetune", hub=hub)
    print(f"published as {pushed.address}")
    net = zoo.load(str(pushed.address), pretrained=True)
    print(f"loaded back: {sum(one.numel() for one in net.parameters()):,} parameters")
    draw(out / "new", 1, random.Random(2))
    for seen in zoo.predict(str(pushed.address), [out / "new"]):
        guesses = ", ".join(f"{one.label} {one.probability:.0%}" for one in seen.guesses[:2])
        print(f"a new {seen.path.parent.name}: {guesses}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40, help="of each shape to train on; half as many to test with")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("own_pictures"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.pictures, arguments.epochs)
