"""The caller's process, left as it was: a notebook goes on after a training with its own settings."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def left_as_it_was(device: torch.device) -> Iterator[None]:
    """Put random numbers (torch's, numpy's, Python's), environment variables and the warnings' filters back at the end.

    Not only for the zoo's own sake: what compiles a step names its caches in the environment, plugins may
    draw from anything, and so do libraries when they are first imported. What was compiled
    before a compiled training is compiled anew when it is next called. Algorithms, threads and signals are put
    back by those who set them (`zoo.training.algorithms`, `zoo.training.interrupt`).
    """
    variables, pythons, numpys = dict(os.environ), random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), warnings.catch_warnings():
        try:
            yield
        finally:
            random.setstate(pythons)
            np.random.set_state(numpys)
            for name in os.environ.keys() - variables.keys():
                del os.environ[name]
            os.environ.update(variables)
