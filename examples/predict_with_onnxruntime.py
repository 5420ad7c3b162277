"""Predict with an exported file: onnxruntime, NumPy and Pillow, no zoo and no torch.

zoo export resnet20_cifar10
python examples/predict_with_onnxruntime.py resnet20_cifar10-export/onnx/model.onnx photo.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
_, height, width, channels = session.get_inputs()[0].shape
upright = ImageOps.exif_transpose(Image.open(picture))  # as its EXIF orientation says
image = upright.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
pixels = np.asarray(image).reshape(1, height, width, channels)
(probabilities,) = session.run(["probabilities"], {"pixels": pixels})
for index in probabilities[0].argsort()[::-1][:5]:
    print(f"{100 * probabilities[0, index]:6.2f}%  {classes[index]}")
