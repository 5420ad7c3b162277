"""Load a published model from a hub, and classify six test images of digits.

python examples/predict_digits.py [HUB]        # HUB is file:PATH or hf://NAMESPACE [default: the catalogue]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import zoo


def main(hub: str | None) -> None:
    """Print the labels and predictions of six test images."""
    model = zoo.load("resnet8_digits", pretrained=True, hub=hub)
    preprocess = zoo.transforms("resnet8_digits", hub=hub)
    digits = load_digits()
    images = [Image.fromarray((image * 255 / 16).round().astype("uint8")) for image in digits.images[-6:]]
    with torch.inference_mode():
        probabilities = model(torch.stack([preprocess(image) for image in images])).softmax(dim=1)
    for digit, row in zip(digits.target[-6:], probabilities, strict=True):
        print(f"a {digit}: the model says {int(row.argmax())}, with probability {row.max():.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
