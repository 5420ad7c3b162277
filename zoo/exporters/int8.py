"""`int8`: the ONNX graph with its layers in whole numbers of 8 bits, by onnxruntime's static quantisation.

The ranges are those that training images come to, never test images. Weights have 7 of the 8 bits: a processor without
VNNI adds two products in 16 bits, which 8 would overflow, and the file would answer otherwise there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from zoo.exporters import onnx as floating
from zoo.exporters.graph import PIXELS
from zoo.exporters.protocol import Exporter, Subject

# What is between the normalisation and the last layer, which stay in floating point, and so do the logits.
LAYERS = ["Conv", "Relu", "Clip", "Add", "Concat", "Pad", "Slice", "MaxPool", "AveragePool", "GlobalAveragePool"]
IMAGES = 1_024  # to calibrate by
BATCH = 128


def write(subject: Subject) -> bytes:
    """The model as an ONNX file in int8; raises ExportError, or DataError where there are no training images."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, unused-ignore]  # onnxruntime asks one
        def __init__(self, images: Tensor) -> None:
            self.batches = iter(torch.split(images, BATCH))

        def get_next(self) -> dict[str, object] | None:
            batch = next(self.batches, None)
            return None if batch is None else {PIXELS: batch.numpy()}

    images = subject.training_images(IMAGES)
    model = floating.translated(subject)
    with tempfile.TemporaryDirectory() as scratch:
        written, prepared, quantised = (Path(scratch) / name for name in ("written", "prepared", "quantised"))
        onnx.save(model, written)
        quant_pre_process(str(written), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(quantised),
            Reader(images),
            op_types_to_quantize=LAYERS,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return floating.serialized(onnx.load(quantised), subject)


INT8 = Exporter(
    format="int8",
    file="onnx/model_int8.onnx",
    needs=("onnx", "onnxscript", "onnxruntime"),
    runtime="onnxruntime",
    write=write,
    open=floating.open_file,
    is_exact=False,
)
