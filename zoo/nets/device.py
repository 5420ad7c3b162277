"""Where a run happens: the device, what it can do, and its name for the card."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from zoo.errors import TrainingError

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


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


@contextlib.contextmanager
def algorithms(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Compute with the fastest algorithms on a GPU, or with those that give the same bits every time.

    A CPU's are the same either way. Settings are put back at the end.
    """
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_before = cudnn.benchmark, cudnn.deterministic
    if device.type == "cuda":
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(deterministic)
        cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic = cudnn_before


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Keep the memory that a training step on a CPU frees for the next step.

    glibc gives blocks of an activation's size back to the system, and takes them again page by page:
    10,000 faults and more a step, and a quarter of a compiled step's time. Does nothing on other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    glibc = ctypes.CDLL(None)
    glibc.mallopt(M_TRIM_THRESHOLD, -1)
    if not glibc.mallopt(M_MMAP_THRESHOLD, 2**30):
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that older versions accept
    try:
        yield
    finally:
        # The most that glibc comes to by itself, adapting to what is freed: it has no way back to that.
        glibc.mallopt(M_TRIM_THRESHOLD, 2**26)
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)
        glibc.malloc_trim(0)


def synchronize(device: torch.device) -> None:
    """Wait for the work that the device still has, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
