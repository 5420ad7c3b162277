"""The formats `onnx` and `int8`, for onnxruntime and other ONNX runtimes.

`onnx` takes only images of the model's size, because the antialiased Resize of onnxruntime differs from torchvision's.

`int8` is the same graph after static quantization by onnxruntime, calibrated on training images. Weights use 7 of 8
bits: a processor without VNNI adds two products in 16 bits, which would overflow with 8 bits.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import ExportError
from zoo.exporters.formats import Answers, Exporter, Run, Subject
from zoo.exporters.graph import LOGITS, PIXELS, PROBABILITIES, program, reason

if TYPE_CHECKING:
    import onnx


def write(subject: Subject) -> bytes:
    """Write the model as an ONNX file; raises ExportError."""
    return _serialized(_translated(subject), subject)


def _translated(subject: Subject) -> onnx.ModelProto:
    """Translate the model's graph to ONNX, with its weights; raises ExportError."""
    traced = program(subject.net, subject.config, any_size=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # addressed to torch's developers
            exported = torch.onnx.export(
                traced,
                dynamo=True,
                verbose=False,
                input_names=[PIXELS],
                output_names=[LOGITS, PROBABILITIES],
            )
    except Exception as error:  # translation may raise anything
        raise ExportError(
            f"{subject.config.name} can't be exported to onnx: torch can't translate an operation of its net "
            f"({reason(error)}); export to pt2, or use other operations in the net"
        ) from error
    assert exported is not None
    return exported.model_proto


def _serialized(model: onnx.ModelProto, subject: Subject) -> bytes:
    """Serialize a graph with the model's metadata, without paths and source lines of this machine."""
    from onnx import helper

    model.producer_name, model.doc_string = "zoo", ""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]  # a node's metadata contain source lines
    used = {node.domain for node in model.graph.node}
    imports = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    helper.set_model_props(model, subject.metadata(any_size=False))
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def open_file(content: bytes, threads: int) -> Run:
    """Open a file with onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Answers:
        logits, probabilities = session.run([LOGITS, PROBABILITIES], {PIXELS: images.numpy()})
        return Answers(torch.from_numpy(logits), torch.from_numpy(probabilities))

    return run


ONNX = Exporter(
    format="onnx",
    file="onnx/model.onnx",
    needs=("onnx", "onnxscript"),
    runtime="onnxruntime",
    write=write,
    open=open_file,
)


# The operations to quantize. Normalization and the last layer stay in floating point.
LAYERS = ["Conv", "Relu", "Clip", "Add", "Concat", "Pad", "Slice", "MaxPool", "AveragePool", "GlobalAveragePool"]
IMAGES = 1_024  # for calibration
BATCH = 128


def write_int8(subject: Subject) -> bytes:
    """Write the model as a quantized ONNX file; raises ExportError, or DataError if training images are missing."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self, images: Tensor) -> None:
            self.batches = iter(torch.split(images, BATCH))

        def get_next(self) -> dict[str, object] | None:
            batch = next(self.batches, None)
            return None if batch is None else {PIXELS: batch.numpy()}

    images = subject.training_images(IMAGES)
    model = _translated(subject)
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
        return _serialized(onnx.load(quantised), subject)


INT8 = Exporter(
    format="int8",
    file="onnx/model_int8.onnx",
    needs=("onnx", "onnxscript", "onnxruntime"),
    runtime="onnxruntime",
    write=write_int8,
    open=open_file,
    is_exact=False,
)
