"""Classify an image with an exported file, using only onnxruntime, NumPy and Pillow.

zoo export resnet20_cifar10
python examples/predict_with_onnxruntime.py resnet20_cifar10-export/onnx/model.onnx photo.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, path = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
metadata = session.get_modelmeta().custom_metadata_map
classes = json.loads(metadata["classes"])
_, height, width, channels = session.get_inputs()[0].shape

image = ImageOps.exif_transpose(Image.open(path))  # rotated by its EXIF orientation
if image.mode in ("F", "LAB"):
    sys.exit(f"{path} has pixels of mode {image.mode}; save it as RGB with 8 or 16 bits a pixel")
if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip
    image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
image = image.convert("L" if channels == 1 else "RGB")

# Resize as in the evaluation. With crop_pct below 1, resize to a larger size and crop the center.
resizing = {"crop_pct": 1, "interpolation": "bilinear", "crop_mode": "squash"} | json.loads(
    metadata.get("resizing", "{}")
)
larger = (int(width / resizing["crop_pct"]), int(height / resizing["crop_pct"]))
if resizing["crop_mode"] == "center" and width == height:
    side, shorter = larger[0], min(image.size)
    larger = (int(side * image.width / shorter), int(side * image.height / shorter))
elif resizing["crop_mode"] != "squash":
    sys.exit(f"this example does not support the resizing of {model}: {resizing} to {width}x{height}; use zoo predict")
image = image.resize(larger, Image.Resampling[resizing["interpolation"].upper()])
left, top = round((image.width - width) / 2), round((image.height - height) / 2)
image = image.crop((left, top, left + width, top + height))

pixels = np.asarray(image).reshape(1, height, width, channels)
(probabilities,) = session.run(["probabilities"], {"pixels": pixels})
for index in probabilities[0].argsort()[::-1][:5]:
    print(f"{100 * probabilities[0, index]:6.2f}%  {classes[index]}")
