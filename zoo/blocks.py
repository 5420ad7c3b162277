"""Base classes of residual nets, for plugins: activation checkpointing, and timm's methods of a net.

    from zoo.blocks import Block, StagedNet

`docs/plugins.md` has an example. The classes have no parameters of their own, and work with torch.jit.script,
torch.export and torch.compile.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A block that supports activation checkpointing. A subclass defines `_forward`.

    Examples:
        >>> import torch
        >>> from torch import Tensor, nn
        >>> from zoo.blocks import Block
        >>> class BasicBlock(Block):
        ...     def __init__(self, channels: int) -> None:
        ...         super().__init__()
        ...         self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        ...         self.bn = nn.BatchNorm2d(channels)
        ...
        ...     def _forward(self, x: Tensor) -> Tensor:
        ...         return torch.relu(self.bn(self.conv(x)) + x)
        >>> BasicBlock(16)(torch.zeros(2, 16, 8, 8)).shape
        torch.Size([2, 16, 8, 8])
    """

    def __init__(self) -> None:
        super().__init__()
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """Return `_forward(x)`; with `grad_checkpointing`, the backward pass recomputes the activations."""
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            return _checkpointed(self, self._forward, x)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class StagedNet(nn.Module):
    """A stem, stages, a global pooling and a linear classifier, with timm's methods for features and the head.

    A subclass creates its layers, the last of them `fc = classifier(...)`, calls `describe`, and defines `forward_stem`
    and `forward_features`. Its blocks are of the class `Block`.

    Examples:
        >>> import torch
        >>> from torch import Tensor, nn
        >>> from zoo.blocks import StagedNet, classifier
        >>> class Tiny(StagedNet):
        ...     def __init__(self, in_channels: int, num_classes: int) -> None:
        ...         super().__init__()
        ...         self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1)
        ...         self.layer1 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        ...         self.fc = classifier(32, num_classes)
        ...         self.describe(in_channels=in_channels, num_classes=num_classes, stages=[("layer1", 32, 2)])
        ...
        ...     def forward_stem(self, x: Tensor) -> Tensor:
        ...         return torch.relu(self.conv1(x))
        ...
        ...     def forward_features(self, x: Tensor) -> Tensor:
        ...         return torch.relu(self.layer1(self.forward_stem(x)))
        >>> Tiny(3, 10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def describe(
        self,
        *,
        in_channels: int,
        num_classes: int,
        stages: Sequence[tuple[str, int, int]],
        pool: str = "avg",
    ) -> None:
        """Set the attributes that timm reads.

        Args:
            in_channels: The number of channels of an image.
            num_classes: The number of classes.
            stages: For each stage its module's name, its channels, and its stride relative to the image.
            pool: The global pooling: "avg" or "max".
        """
        self.in_chans, self.num_classes, self.global_pool, self._pool = in_channels, num_classes, pool, pool
        self.num_features = self.head_hidden_size = stages[-1][1]
        self.feature_info = [
            {"module": name, "num_chs": channels, "reduction": stride} for name, channels, stride in stages
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of images [N, in_channels, H, W]."""
        return self.forward_head(self.forward_features(x))

    def forward_stem(self, x: Tensor) -> Tensor:
        """Return the input of the first stage, [N, C, H', W'], for images [N, in_channels, H, W]."""
        raise NotImplementedError

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the output of the last stage, [N, num_features, H', W'], for images [N, in_channels, H, W]."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify the output of `forward_features`.

        Args:
            x: The output of the last stage, [N, num_features, H', W'].
            pre_logits: Return the pooled features.

        Returns:
            Logits [N, num_classes], or features [N, num_features].
        """
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
        """Return the outputs of several stages.

        Args:
            x: Images [N, in_channels, H, W].
            indices: The numbers of the stages, or how many of the last ones; all by default.
            norm: Has no effect: the outputs are normalized.
            stop_early: Skip the stages after the last one of `indices`.
            output_fmt: "NCHW".
            intermediates_only: Return only the list of outputs.

        Returns:
            The output of the last stage that ran, and a list of the outputs [N, C, H', W'] of the stages.

        Raises:
            IndexError: There is no such stage.
            ValueError: `output_fmt` is not "NCHW".
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
        """Return the classifier; an identity if there is none."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one.

        Args:
            num_classes: The number of classes; 0 for no classifier.
            global_pool: The net's pooling, which is the default, or "" for no pooling.

        Raises:
            ValueError: The net does not have this pooling.
        """
        if global_pool not in (None, self._pool, ""):
            raise ValueError(f"global_pool should be {self._pool!r}, or '' for no pooling, not {global_pool!r}")
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.fc = classifier(self.num_features, num_classes).to(next(self.parameters())).train(self.training)
        if isinstance(self.fc, nn.Linear):
            self.init_classifier(self.fc)

    def init_classifier(self, layer: nn.Linear) -> None:
        """Initialize a new classifier; override it if the net does not use torch's initialization."""

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return regular expressions that group parameters by layer, for layer-wise learning rates.

        Args:
            coarse: Group by stage, not by block.
        """
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Switch activation checkpointing on or off. It saves most of the activations' memory for a third more time.

        Args:
            enable: Recompute the activations of every block in the backward pass.
        """
        for module in self.modules():
            if isinstance(module, Block):
                module.grad_checkpointing = enable


def classifier(num_features: int, num_classes: int) -> nn.Module:
    """Return a linear layer, or an identity for 0 classes.

    Args:
        num_features: The number of features.
        num_classes: The number of classes; 0 for no classifier.

    Examples:
        >>> from zoo.blocks import classifier
        >>> classifier(64, 10)
        Linear(in_features=64, out_features=10, bias=True)
    """
    return nn.Linear(num_features, num_classes) if num_classes else nn.Identity()


def _checkpointed(block: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return forward(x) of a deterministic block by activation checkpointing (arXiv:1604.06174).

    Batch norm does not update its running statistics a second time when the backward pass recomputes the activations,
    so the net is the same as without checkpointing.
    """
    out: Tensor = checkpoint(
        forward,
        x,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(), _frozen_statistics(block)),
    )
    return out


@contextlib.contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    # By attribute, not by class: with several processes other classes replace nn.BatchNorm2d.
    norms: list[Any] = [module for module in block.modules() if getattr(module, "track_running_stats", False)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, count) in zip(norms, before, strict=True):
        norm.momentum, norm.num_batches_tracked = 0.0, None if count is None else count.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
