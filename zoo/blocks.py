"""Ready-made parts of a residual net, for plugins: recomputed blocks, and the methods by which timm uses a net.

    from zoo.blocks import Block, StagedNet

`docs/plugins.md` shows a net that is made of them. They hold no parameters, so that the names in a state dict are those
that a plugin gives; they work with torch.jit.script, torch.export and torch.compile.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A block whose activations can be recomputed in the backward pass; a subclass defines `_forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """`_forward(x)`, in training with `grad_checkpointing` without keeping its activations."""
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            return recomputed(self, self._forward, x)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class StagedNet(nn.Module):
    """A stem, stages, a pooling and a linear classifier, with timm's methods for features, head and checkpointing.

    A subclass makes its layers, of which the last is a `classifier` called `fc`, calls `describe`, and defines
    `forward_stem` and `forward_features`. Its blocks are `Block`s.
    """

    def describe(
        self,
        *,
        in_channels: int,
        num_classes: int,
        stages: Sequence[tuple[str, int, int]],
        pool: str = "avg",
    ) -> None:
        """Set the attributes that timm reads. A stage is a module's name, its channels, and its stride in all.

        `pool` is "avg" or "max", over the whole map.
        """
        self.in_chans, self.num_classes, self.global_pool, self._pool = in_channels, num_classes, pool, pool
        self.num_features = self.head_hidden_size = stages[-1][1]
        self.feature_info = [
            {"module": name, "num_chs": channels, "reduction": stride} for name, channels, stride in stages
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] to logits [N, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def forward_stem(self, x: Tensor) -> Tensor:
        """Images to the map that the first stage is given."""
        raise NotImplementedError

    def forward_features(self, x: Tensor) -> Tensor:
        """Images to the map of the last stage."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """That map to logits; with `pre_logits`, to the pooled features [N, num_features]."""
        if self.global_pool == "avg":
            x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        if self.global_pool == "max":
            x = x.flatten(2).max(dim=2)[0]  # deterministic on a GPU, unlike adaptive_max_pool2d
        if not pre_logits:
            x = self.fc(x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The maps after some stages: those of `indices`, the last so many, or all; before them the last map.

        `norm` changes nothing: a stage's map is normalised. Raises IndexError for a stage that does not exist.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt should be NCHW, not {output_fmt}")
        stages = [self.get_submodule(str(info["module"])) for info in self.feature_info]
        wanted = list(range(len(stages)))
        if indices is not None:
            wanted = wanted[-indices:] if isinstance(indices, int) else [wanted[index] for index in indices]
        x = self.forward_stem(x)
        maps: list[Tensor] = []
        for index, stage in enumerate(stages):
            if stop_early and index > max(wanted):
                break
            x = stage(x)
            if index in wanted:
                maps.append(x)
        return maps if intermediates_only else (x, maps)

    def get_classifier(self) -> nn.Module:
        """The layer that makes logits of features; an identity where there is none."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one, or with 0 by none; an empty `global_pool` removes the pooling too.

        Raises ValueError for a pooling that the net does not have.
        """
        if global_pool not in (None, self._pool, ""):
            raise ValueError(f"global_pool should be {self._pool}, or empty for none, not {global_pool!r}")
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.fc = classifier(self.num_features, num_classes).to(next(self.parameters())).train(self.training)
        if isinstance(self.fc, nn.Linear):
            self.init_classifier(self.fc)

    def init_classifier(self, layer: nn.Linear) -> None:
        """Initialise a new classifier, where torch's own initialisation is not the net's."""

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Which parameters are a layer's, from the stem on, for rates that fall layer by layer."""
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the blocks' inputs for the backward pass: a third more time, a fraction of the memory."""
        for module in self.modules():
            if isinstance(module, Block):
                module.grad_checkpointing = enable


def classifier(num_features: int, num_classes: int) -> nn.Module:
    """A linear layer; an identity for 0 classes."""
    return nn.Linear(num_features, num_classes) if num_classes else nn.Identity()


def recomputed(block: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """forward(x) of a block by activation checkpointing (arXiv:1604.06174), in which nothing is random.

    Only x is kept; the activations are computed again in the backward pass. The second time batch norm does not update
    its running statistics, so that the net ends with the very values that it has without.
    """
    out: Tensor = checkpoint(
        forward,
        x,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(), _statistics_at_rest(block)),
    )
    return out


@contextlib.contextmanager
def _statistics_at_rest(block: nn.Module) -> Iterator[None]:
    # Everything that tracks statistics: with several processes, other modules replace nn.BatchNorm2d.
    norms: list[Any] = [module for module in block.modules() if getattr(module, "track_running_stats", False)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, count) in zip(norms, before, strict=True):
        norm.momentum, norm.num_batches_tracked = 0.0, None if count is None else count.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
