"""Small PyTorch modules whose BatchNorm statistics are true; whoever imports this needs PyTorch."""

import pytest

pytest.importorskip("torch.nn", reason="needs PyTorch: make test-torch")

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["block", "image", "nn", "plain", "residual", "torch", "trained"]

torch.set_num_threads(1)


def block(ins: int, outs: int, size: int = 3, **how: int) -> nn.Sequential:
    """A convolution with BatchNorm and ReLU."""
    conv = nn.Conv2d(ins, outs, size, padding=size // 2, bias=False, **how)
    return nn.Sequential(conv, nn.BatchNorm2d(outs), nn.ReLU())


def image(batch: int = 1, size: int = 16) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def trained(module: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """Give weights and BatchNorms numbers as training would; return the module in eval mode."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.momentum = None
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.0, 0.3)
    module.train()
    with torch.no_grad():
        module(*inputs or (image(8),))
    return module.eval()


def plain() -> nn.Module:
    torch.manual_seed(0)
    return trained(nn.Sequential(block(3, 8), block(8, 8), nn.Conv2d(8, 4, 1)))


class Residual(nn.Module):
    """One layer that is used twice, a sum, and a head of BatchNorm1d and Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8)
        self.body = block(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        y = y + self.body(self.body(y))
        return self.head(self.norm(y.mean((2, 3))))


def residual() -> nn.Module:
    torch.manual_seed(0)
    return trained(Residual())
