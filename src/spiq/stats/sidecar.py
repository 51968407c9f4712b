"""What BatchNorm says of a network's layers, kept beside it: for files that lost it in the fold.

Folding multiplies the rows of a layer's weight by a = gamma / sqrt(var + eps) and drops what stood
behind the numbers. So the statistics are taken before: of each layer the mean and variance of its
output behind the BatchNormalization, and the norm |a W| of each folded row. A layer of another file
is the same one where its rows have these norms: a name alone may be that of other weights, and what
an exporter calls a layer is its own affair. Names decide only between layers of equal weights.

The JSON (format 1)::

    {"format": 1,
     "layers": {"layer1.0.conv1": {"mean": [...], "var": [...], "rows": [...]}}}

with one number per output channel, in the order of the weight's rows.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir

from spiq.errors import ConfigError
from spiq.graph.query import Array, constant, weight_nodes
from spiq.passes.batchnorm import Moments, Norm
from spiq.passes.layer_weights import rows_shape
from spiq.passes.prepare import Prepared

FORMAT = 1
"""Of the JSON, counted up when a file of before can no longer be read."""

_NEAR = 2e-3
"""How far norms of rows may be apart, in parts of their size: half precision is 5e-4 off."""

_DIGITS = 7


@dataclass(frozen=True)
class LayerMoments:
    """What is known of a layer's output, shape (O,) each.

    Attributes:
        mean: Mean per channel, behind the BatchNormalization.
        var: Variance per channel.
        rows: Norm of each row of the folded weight.
    """

    mean: Array
    var: Array
    rows: Array

    def fits(self, rows: Array) -> bool:
        """Return whether a weight with rows of these norms is the one that was folded."""
        if rows.shape != self.rows.shape:
            return False
        return bool(np.allclose(rows, self.rows, rtol=_NEAR, atol=_NEAR * self.rows.mean()))


@dataclass(frozen=True)
class Statistics:
    """What BatchNorm says of a network's layers, by their names: kept for when it is folded away.

    >>> import spiq
    >>> text = '{"format": 1, "layers": {"conv": {"mean": [0.5], "var": [2], "rows": [1.5]}}}'
    >>> spiq.Statistics.from_json(text).layers["conv"].var
    array([2.])

    :func:`spiq.torch.statistics` takes them from a module, ``spiq.quantize(..., statistics=...)``
    gives them to a network without BatchNorm.

    Attributes:
        layers: By the name of the layer.
    """

    layers: Mapping[str, LayerMoments]

    def to_json(self) -> str:
        """Return it as JSON, a layer to a line."""
        lines = ",\n".join(
            f"    {json.dumps(name)}: {json.dumps({k: _short(v) for k, v in vars(one).items()})}"
            for name, one in self.layers.items()
        )
        return f'{{\n  "format": {FORMAT},\n  "layers": {{\n{lines}\n  }}\n}}\n'

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Statistics":
        """Read it from a file.

        Raises:
            ConfigError: The file cannot be read, or holds no statistics.
        """
        try:
            text = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{str(path)!r} cannot be read: {reason}: check the path") from error
        return cls.from_json(text, where=repr(str(path)))

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "the statistics") -> "Statistics":
        """Read it back.

        Raises:
            ConfigError: It is no JSON of this format; the entry is named.
        """
        try:
            found = json.loads(text)
        except ValueError as error:  # of the JSON, or of its encoding
            raise ConfigError(
                f"{where}: no JSON ({error}): make it with `spiq torch stats`"
            ) from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ConfigError(f"{where}: no statistics of format {FORMAT}: make them again")
        layers = found.get("layers")
        if not isinstance(layers, dict):
            raise ConfigError(f"{where}: 'layers' is missing: make the statistics again")
        return cls({name: _entry(one, f"{where}: layer {name!r}") for name, one in layers.items()})


def _short(array: Array) -> list[float]:
    return [float(f"{number:.{_DIGITS}g}") for number in array.tolist()]


def _entry(found: Any, where: str) -> LayerMoments:
    arrays = []
    for key in ("mean", "var", "rows"):
        numbers = found.get(key) if isinstance(found, dict) else None
        if not isinstance(numbers, list) or not all(map(_is_number, numbers)):
            raise ConfigError(f"{where}: {key!r} is no list of numbers: correct it")
        arrays.append(np.array(numbers, np.float64))
    mean, var, rows = arrays
    if not len(mean) == len(var) == len(rows):
        raise ConfigError(f"{where}: its lists are not of one length: correct them")
    if (var < 0).any() or (rows < 0).any():
        raise ConfigError(f"{where}: a variance or a norm is below 0: correct it")
    return LayerMoments(mean, var, rows)


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]


def collect(prepared: Prepared) -> Statistics:
    """Return what normalization layers state of the layers that took them in.

    Args:
        prepared: A network whose BatchNormalizations were there; they are folded now.
    """
    found = {}
    for node, rows in _layers(prepared.model.graph):
        stated = prepared.stated.get(str(node.outputs[0].name))
        if stated is not None and stated.mean.shape == rows.shape:
            found[str(node.name)] = LayerMoments(stated.mean, stated.var, rows)
    return Statistics(found)


def restore(prepared: Prepared, statistics: Statistics) -> tuple[Prepared, list[str]]:
    """Give layers whose BatchNormalization is gone the moments that were kept of them.

    What the network itself states counts more.

    Returns:
        The network with these moments stated, and what there is to say, a sentence each.

    Raises:
        ConfigError: None of the layers is in the network.
    """
    given, norms, used = dict(prepared.stated), list(prepared.norms), set()
    for node, rows in _layers(prepared.model.graph):
        value = str(node.outputs[0].name)
        found = [n for n, one in statistics.layers.items() if n not in used and one.fits(rows)]
        if not found:
            continue
        name = _nearest(found, str(node.name))
        used.add(name)
        if value not in given:
            one = statistics.layers[name]
            given[value] = Moments(one.mean, one.var)
            norms.append(Norm(name, node.outputs[0], given[value]))
    if not used:
        raise ConfigError(
            f"the statistics are of {len(statistics.layers)} layers, and none has the weights of "
            "a layer of the network: make them from the module that was exported, before it is "
            "fused or trained on"
        )
    left = [name for name in statistics.layers if name not in used]
    notes = [f"statistics kept beside the file: of {len(used)} layers"]
    if left:
        notes[0] += f"; {len(left)} are of layers that the network has not, such as '{left[0]}'"
    return replace(prepared, stated=MappingProxyType(given), norms=tuple(norms)), notes


def _layers(graph: ir.Graph) -> Iterator[tuple[ir.Node, Array]]:
    """Yield each layer with the norms of its weight's rows, one per output channel."""
    for node in weight_nodes(graph):
        weight = constant(node.inputs[1])
        if weight is not None and weight.dtype.kind == "f" and weight.ndim > 1:
            yield node, _rows(node, weight.astype(np.float64))


def _rows(node: ir.Node, weight: Array) -> Array:
    turned = node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)
    )
    if turned:
        weight = weight.swapaxes(-1, -2)
    shape = rows_shape(node, weight.shape)
    if node.op_type == "ConvTranspose":
        split = weight.reshape(shape[0], -1, *weight.shape[1:])
        squares = np.square(split).sum(axis=(1, *range(3, split.ndim)))
    else:
        squares = np.square(weight).reshape(len(weight), -1).sum(axis=1)
    norms: Array = np.sqrt(squares).reshape(-1)
    return norms


def _nearest(names: list[str], layer: str) -> str:
    """Return the name most like a layer's: with most of its parts at the end in common."""
    parts = _parts(layer)

    def common(name: str) -> int:
        other = _parts(name)
        pairs = zip(reversed(parts), reversed(other), strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(parts), len(other)))

    return max(names, key=common)


def _parts(name: str) -> list[str]:
    """Return the parts of a name: ``/layer1/layer1.0/conv1/Conv`` ends like ``layer1.0.conv1``."""
    plain = name.strip("/").removesuffix("/Conv").removesuffix("/Gemm").removesuffix("/MatMul")
    return plain.replace("/", ".").split(".")
