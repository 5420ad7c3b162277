"""Devices: choose one, describe it, and compute exactly on it."""

from __future__ import annotations

import contextlib
import platform
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch

from zoo.errors import DeviceError, TrainingError

KINDS: Final = ("cpu", "cuda", "mps", "xpu", "mtia")  # the kinds of device that torch has a module for
TRAINED_ON: Final = ("cpu", "cuda", "mps")

_PRECISION: Final = threading.RLock()  # held by the thread that has set a GPU's precision and algorithms


def choose(name: str | None) -> torch.device:
    """The device of a name (`cpu`, `cuda:1`, `mps`), by default a GPU if there is one; raises DeviceError."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    count = _count(device.type)
    if not count:
        present = ", ".join(kind for kind in KINDS if _count(kind))
        raise DeviceError(f"there is no device {name!r} for torch {torch.__version__} here; there is {present}")
    if (device.index or 0) >= count:
        raise DeviceError(f"device {name} is not there: torch {torch.__version__} sees {count} of {device.type}")
    return device


def choose_for_training(name: str | None) -> torch.device:
    """As `choose`, for a training; raises TrainingError for a device that no training runs on."""
    device = choose(name)
    if device.type not in TRAINED_ON:
        raise TrainingError(f"a training runs on {', '.join(TRAINED_ON)}, not on {device.type}; name one of them")
    return device


def _count(kind: str) -> int:
    """The number of devices of a kind that torch has here; 0 for meta."""
    if kind not in KINDS:
        return 0
    return 1 if kind == "cpu" else int(torch.get_device_module(kind).device_count())


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware computes in bf16, so that autocast is faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        # torch turns bf16 autocast off, with a warning, before macOS 14.
        return torch.amp.is_autocast_available("mps") and torch.backends.mps.is_macos_or_newer(14, 0)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def describe(device: torch.device) -> str:
    """The name of the device by its maker, or its kind if torch does not know the name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU, {names[0] if names else platform.processor() or platform.machine()}"


def synchronize(device: torch.device) -> None:
    """Wait for the work that is queued on a GPU, on CUDA that of the current stream, before a time is read."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def random_state(device: torch.device) -> torch.Tensor | None:
    """The state of a GPU's random numbers; None for a CPU, whose state is `torch.get_rng_state()`."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def set_random_state(device: torch.device, state: torch.Tensor | None) -> None:
    """Restore a state that `random_state` returned; a CPU ignores the state of another device."""
    if state is None:
        return
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)


@contextlib.contextmanager
def enough_memory(device: torch.device, what: str) -> Iterator[None]:
    """Raise TrainingError, which names `what`, if the device has too little memory for the body."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On CPU and MPS torch has no error class for it, only a message.
        messages = ("you tried to allocate", "MPS backend out of memory")
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and not any(m in str(error) for m in messages):
            raise
        raise TrainingError(f"{device} has too little memory for {what}") from error


class _Float32:
    """Lets new tensors be float32, whatever torch's default is; the threads that are inside share the setting."""

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
    """Compute as torch does in a new process, whatever default type, default device and mode the caller has set."""
    with contextlib.ExitStack() as settings:
        settings.enter_context(_FLOAT32)
        if torch.get_default_device() != torch.device(device):
            settings.enter_context(torch.device(device))
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        yield


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Compute in full fp32 instead of TF32, by the same algorithm each time, without gradients.

    A GPU's settings are the whole process's, so one thread at a time computes while they are set.
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
            # By torch's newer names: its older ones raise an error where a caller has used these.
            cudnn.conv.fp32_precision = matmul.fp32_precision = "ieee"
            try:
                yield
            finally:
                cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision, matmul.fp32_precision = before
