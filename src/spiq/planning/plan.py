"""The plan of a quantization: everything that was decided, and nothing else.

Analysis writes it, rewriting and emission read it, and they meet nowhere else. It is plain data,
in units of the prepared network, with the hash of the model that it was made for; it goes to JSON
and back without loss.
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from spiq.errors import PlanError
from spiq.planning.grid import Grid


@dataclass(frozen=True, kw_only=True)
class TensorPlan:
    """How one tensor is stored.

    Attributes:
        grid: The grid, of the folded tensor x / channel_scale.
        channel_scale: One number per channel in the order of ``layout``; all 1 for a scalar scale.
        layout: Shape of ``channel_scale``: the tensor's rank, 1 along batch and space.
        alpha: How far the scales go from scalar (0) to per channel (1).
        width: Ends of the range, in standard deviations of the channel.
    """

    grid: Grid
    channel_scale: tuple[float, ...]
    layout: tuple[int, ...]
    alpha: float
    width: float


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """How one layer's weight and bias are rounded.

    Attributes:
        bits: Bits of the weight: symmetric, one scale per output channel.
        rounding: Name of the rounding.
        input_mean: Expected value of each input channel, shape (C,), by which the bias is
            corrected for the rounding of the weight; empty for no correction.
    """

    bits: int
    rounding: str = "nearest"
    input_mean: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a quantization decides.

    Attributes:
        model_hash: Hash of the model that the plan was made for.
        version: Version of spiq that made the plan.
        method: Name of the method.
        target: Name of the target runtime.
        activation_bits: Bits of activations.
        weight_bits: Bits of weights.
        integer: Names of the nodes that run on integers, in order.
        absorbed: Names of the activations that the grid behind them stands for.
        tensors: How each stored tensor is stored, by name.
        layers: How each quantized layer is rounded, by name.
        left_in_float: Why each other layer stays in float, by name.
        notes: Assumptions made, a sentence each.
    """

    model_hash: str
    version: str
    method: str
    target: str
    activation_bits: int
    weight_bits: int
    integer: tuple[str, ...]
    absorbed: tuple[str, ...]
    tensors: dict[str, TensorPlan]
    layers: dict[str, LayerPlan]
    left_in_float: dict[str, str]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """Return the plan as JSON, one tensor or layer to a line."""
        data = asdict(self)
        blocks = []
        for key, entry in data.items():
            if isinstance(entry, dict) and entry:
                lines = (f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in entry.items())
                blocks.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n  }")
            else:
                blocks.append(f"  {json.dumps(key)}: {json.dumps(entry)}")
        return "{\n" + ",\n".join(blocks) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what :meth:`to_json` wrote.

        Raises:
            PlanError: The text is not a plan.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            tensors = {name: _tensor(entry) for name, entry in data.pop("tensors").items()}
            layers = {name: _layer(entry) for name, entry in data.pop("layers").items()}
            for key in ("integer", "absorbed", "notes"):
                data[key] = tuple(map(_text, data[key]))
            for key in ("model_hash", "version", "method", "target"):
                data[key] = _text(data[key])
            data["left_in_float"] = {k: _text(v) for k, v in data["left_in_float"].items()}
            return cls(tensors=tensors, layers=layers, **data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PlanError(f"not a plan of spiq: {error!r}; make one with --save-plan") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a plan from a file.

        Raises:
            PlanError: The file cannot be read or holds no plan.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path}: cannot read the plan: {error}") from error
        return cls.from_json(text)


def _tensor(entry: dict[str, Any]) -> TensorPlan:
    grid = Grid(**entry["grid"])
    for number in (grid.bits, grid.zero_point):
        _whole(number)
    return TensorPlan(
        grid=replace(grid, scale=_number(grid.scale)),
        channel_scale=tuple(map(_number, entry["channel_scale"])),
        layout=tuple(map(_whole, entry["layout"])),
        alpha=_number(entry["alpha"]),
        width=_number(entry["width"]),
    )


def _layer(entry: dict[str, Any]) -> LayerPlan:
    return LayerPlan(
        bits=_whole(entry["bits"]),
        rounding=_text(entry["rounding"]),
        input_mean=tuple(map(_number, entry["input_mean"])),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return float(value)
