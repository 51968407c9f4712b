"""A copy of a module to export, so that the module itself stays as it was.

The copy is on the CPU and in float32, in inference mode throughout; device, type, mode, hooks,
``requires_grad`` and gradients of the module are not touched, nor are its parameters copied back.
"""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from spiq.errors import UnsupportedError

Tree = TypeVar("Tree")


def copied(module: nn.Module) -> nn.Module:
    """Return a copy to export.

    Raises:
        UnsupportedError: The module holds something that cannot be copied.
    """
    try:
        twin = copy.deepcopy(module, _computed(module))
    except Exception as error:  # whatever the parts of a module raise
        raise UnsupportedError(
            f"{type(module).__name__} cannot be copied for the export "
            f"({' '.join(str(error).split())}): export it yourself, torch.export.export, and give "
            "the program"
        ) from error
    for part in twin.modules():
        part.training = False
    return twin.requires_grad_(False).to(device="cpu").float()


def plain(example: Tree) -> Tree:
    """Return example inputs on the CPU, floating-point numbers in float32."""
    return tree_map_only(torch.Tensor, _plain, example)  # type: ignore[no-any-return]


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    detached = tensor.detach().cpu()
    return detached.float() if detached.is_floating_point() else detached


def _computed(module: nn.Module) -> dict[int, torch.Tensor]:
    """Return copies of tensors that were computed from parameters: copying refuses those.

    The older weight and spectral norm keep such tensors as attributes.
    """
    return {
        id(held): held.detach().clone()
        for part in module.modules()
        for held in vars(part).values()
        if isinstance(held, torch.Tensor) and not held.is_leaf
    }
