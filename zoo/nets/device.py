"""Where a run happens: the device, what it can do, and its name for the card."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from zoo.errors import TrainingError


def choose(name: str | None) -> torch.device:
    """The device of that name (`cpu`, `cuda`, `cuda:1`), the best there is for None; raises TrainingError."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"there is no device {name!r}; use cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"device {name} is not there: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs; "
            "use --device cpu"
        )
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware itself computes in bf16, so that autocast is faster and not slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def describe(device: torch.device) -> str:
    """The device as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU, {names[0] if names else platform.processor() or platform.machine()}"


def synchronize(device: torch.device) -> None:
    """Wait for the work that was given to the device on this stream, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


@contextlib.contextmanager
def enough_memory(device: torch.device, what: str) -> Iterator[None]:
    """Where the device has too little memory for the body, say for `what`, and what to do; raises TrainingError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On the processor torch has no kind of error for it, but words.
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "you tried to allocate" not in str(error):
            raise
        raise TrainingError(f"{device} has too little memory for {what}") from error
