"""Choose devices, describe them, and compute reproducibly on them."""

from __future__ import annotations

import contextlib
import platform
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch

from zoo.errors import DeviceError, TrainingError

KINDS: Final = ("cpu", "cuda", "mps", "xpu", "mtia")  # device types that torch has a module for
TRAINED_ON: Final = ("cpu", "cuda", "mps")

_PRECISION: Final = threading.RLock()  # held while a thread has changed the precision and algorithms of GPUs


def choose(name: str | None) -> torch.device:
    """Choose a torch device.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps` or another torch device; None for a CUDA GPU if present, else the CPU.

    Raises:
        DeviceError: torch does not support the device, or does not find it on this machine.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    count = _count(device.type)
    if not count:
        present = ", ".join(kind for kind in KINDS if _count(kind))
        raise DeviceError(f"torch {torch.__version__} has no device {name!r} on this machine; it has {present}")
    if (device.index or 0) >= count:
        raise DeviceError(f"there is no device {name}: torch {torch.__version__} has {count} of {device.type}")
    return device


def choose_for_training(name: str | None) -> torch.device:
    """Like `choose`; also raises TrainingError for a device that the zoo can't train on."""
    device = choose(name)
    if device.type not in TRAINED_ON:
        raise TrainingError(f"a training runs on {', '.join(TRAINED_ON)}, not on {device.type}; choose one of these")
    return device


def _count(kind: str) -> int:
    """The number of devices of a kind that torch finds; 0 for meta."""
    if kind not in KINDS:
        return 0
    return 1 if kind == "cpu" else int(torch.get_device_module(kind).device_count())


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware supports bf16, so that autocast is faster than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        # torch turns bf16 autocast off, with a warning, before macOS 14.
        return torch.amp.is_autocast_available("mps") and torch.backends.mps.is_macos_or_newer(14, 0)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def describe(device: torch.device) -> str:
    """The product name of the device, such as `NVIDIA H200`, or its kind if torch does not tell the name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU, {names[0] if names else platform.processor() or platform.machine()}"


def synchronize(device: torch.device) -> None:
    """Wait for the work queued on a GPU; on CUDA only for the current stream. Call it before reading a clock."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def random_state(device: torch.device) -> torch.Tensor | None:
    """The state of a GPU's random generator; None for a CPU, whose state is `torch.get_rng_state()`."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def set_random_state(device: torch.device, state: torch.Tensor | None) -> None:
    """Restore a state that `random_state` returned; on a CPU the state is ignored."""
    if state is None:
        return
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)


@contextlib.contextmanager
def enough_memory(device: torch.device, what: str) -> Iterator[None]:
    """Raise TrainingError if the body runs out of the device's memory; `what` names the work in the message."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On CPU and MPS torch raises a RuntimeError, recognized only by its message.
        messages = ("you tried to allocate", "MPS backend out of memory")
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and not any(m in str(error) for m in messages):
            raise
        raise TrainingError(f"{device} has too little memory for {what}") from error


class _Float32:
    """Set torch's default type, a setting of the process, to float32 while any thread is inside this context."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_default_dtype()
                if self._before != torch.float32:
                    torch.set_default_dtype(torch.float32)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._before != torch.float32:
                torch.set_default_dtype(self._before)


_FLOAT32: Final = _Float32()


@contextlib.contextmanager
def as_by_default(device: str = "cpu") -> Iterator[None]:
    """Compute with torch's initial default type, default device and gradient mode, whatever the caller has set."""
    with contextlib.ExitStack() as settings:
        settings.enter_context(_FLOAT32)
        if torch.get_default_device() != torch.device(device):
            settings.enter_context(torch.device(device))
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        yield


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Compute in full fp32 instead of TF32, with deterministic algorithms, without gradients.

    torch's GPU settings apply to the whole process, so on a GPU only a single thread at a time is inside.
    """
    with as_by_default(), torch.inference_mode():
        if not torch.cuda.is_available():
            yield
            return
        cudnn: Any = torch.backends.cudnn
        matmul: Any = torch.backends.cuda.matmul
        with _PRECISION:
            before = cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision, matmul.fp32_precision
            cudnn.benchmark, cudnn.deterministic = False, True
            # torch's older names of these settings raise an error if a caller has used the newer names.
            cudnn.conv.fp32_precision = matmul.fp32_precision = "ieee"
            try:
                yield
            finally:
                cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision, matmul.fp32_precision = before
