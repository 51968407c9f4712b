"""Whether a quantized model of ONNX's backend tests gives the values that it should.

Both models are shown the test's own inputs, and some more whose floats are drawn from these with
replacement; spiq is told the least and the greatest of them, as the range of the input. Then

* outputs that nothing rounded reaches are equal bit by bit;
* floats have an SNR of at least ``LEAST_DB`` over all draws; what is no float is equal, and what is
  no number, or infinite, is so in both;
* or `quantize_static`, calibrated on the very draws, comes no nearer: eight bits hold no more of
  such numbers (a softmax of 10,000 and more, the integer that a rounded number is next to).

What the float model itself gives differently a second time (random numbers) is not compared, nor
are tests of BatchNormalization, whose statistics are not those of their inputs.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization

from spiq.errors import ConfigError
from spiq.input_values import InputValues
from spiq.runtime.snr import LIMIT_DB, decibels

DRAWS = 4
LEAST_DB = 15.0
"""Two layers at 8 bits leave 25 to 45 dB of nearly all operators between them."""

NEARER_DB = 12.0
"""What `quantize_static` has to have more: shown the very numbers, its ranges may be four times as
narrow as ranges for numbers that nobody has seen."""

_FEW = 8
"""Numbers whose spread says nothing: they are compared with their size."""

_MOST = 0.5
"""Part of the power of an output that is no statistic of it where a single number has it."""

Feeds = dict[str, Any]
Answers = list[list[Any]]
"""What a model gives for each draw: its outputs."""


@dataclass(frozen=True)
class Found:
    """How near an output is: in dB, for what is no float 10 dB where nine of ten are equal."""

    name: str
    db: float
    why: str = ""

    def __str__(self) -> str:
        """Say it."""
        return f"{self.name}: {self.why or f'{self.db:.1f} dB'}"


def draws(feeds: Feeds) -> list[Feeds]:
    """Return the test's inputs, and others whose floats are drawn from them."""
    rng = np.random.default_rng(0)
    return [feeds, *({n: _redrawn(a, rng) for n, a in feeds.items()} for _ in range(DRAWS - 1))]


def _redrawn(array: Any, rng: np.random.Generator) -> Any:
    if not _is_float(array) or array.size < 2:
        return array
    return rng.choice(array.ravel(), array.shape)


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating)


def told(feeds: Feeds) -> dict[str, InputValues]:
    """Return the range of each input of floats that has one."""
    said = {}
    for name, array in feeds.items():
        if not _is_float(array) or not array.size or not np.isfinite(array).all():
            continue
        ends = float(array.min()), float(array.max())
        try:
            said[name] = InputValues(input_range=(ends,))
        except ConfigError:  # one number
            continue
    return said


def judged(
    model: bytes,
    before: ort.InferenceSession,
    after: ort.InferenceSession,
    feeds: Feeds,
    made: bytes,
) -> tuple[str, str]:
    """Return "quantized" or "other values", and what is to be said of the outputs.

    Args:
        model: The float model.
        before: A session of it.
        after: A session of the quantized model.
        feeds: The test's inputs.
        made: The quantized model.
    """
    if _states_what_is_not(model):
        return "quantized", "statistics that are not those of the inputs"
    shown = [fed for fed in draws(feeds) if _is_steady(before, fed)]
    taken = {node.name: node.type for node in after.get_inputs()}
    expected = [before.run(None, fed) for fed in shown]
    found = [after.run(None, {n: in_single(a, taken[n]) for n, a in f.items()}) for f in shown]
    names, reached = [value.name for value in before.get_outputs()], reached_by_rounding(made)
    outputs = compared(names, expected, found)
    limits = [LEAST_DB if one.name in reached else LIMIT_DB for one in outputs]
    if all(one.db >= limit for one, limit in zip(outputs, limits, strict=True)):
        return "quantized", "; ".join(map(str, outputs))

    theirs = compared(names, expected, by_static(model, shown))
    wrong = [
        f"{one}, static {other.db:.1f}"
        for one, other, limit in zip(outputs, theirs, limits, strict=True)
        if one.db < limit and (other.db > one.db + NEARER_DB or limit == LIMIT_DB)
    ]
    said = wrong or [f"{one}, static {o.db:.1f}" for one, o in zip(outputs, theirs, strict=True)]
    return "other values" if wrong else "quantized", "; ".join(said)


def _states_what_is_not(model: bytes) -> bool:
    """Return whether a test has a BatchNormalization that no layer was put in front of."""
    nodes = onnx.ModelProto.FromString(model).graph.node
    layers = {name for node in nodes if node.op_type == "Conv" for name in node.output}
    return any(n.op_type == "BatchNormalization" and n.input[0] not in layers for n in nodes)


def in_single(array: Any, taken: str) -> Any:
    """Return as float32 what a network of half or double precision takes."""
    return array.astype(np.float32) if taken == "tensor(float)" else array


def _is_steady(session: ort.InferenceSession, feeds: Feeds) -> bool:
    """Return whether a model runs on such inputs, and gives the same twice."""
    try:
        return _same(session.run(None, feeds), session.run(None, feeds))
    except Exception:  # drawn numbers that the operator does not take
        return False


def reached_by_rounding(model: bytes) -> set[str]:
    """Return the tensors of a model that a QuantizeLinear stands in front of."""
    reached: set[str] = set()
    for node in onnx.ModelProto.FromString(model).graph.node:
        has_graphs = any(attribute.HasField("g") for attribute in node.attribute)
        if "QuantizeLinear" in node.op_type or has_graphs or reached & set(node.input):
            reached |= set(node.output)
    return reached


def compared(names: Sequence[str], expected: Answers, found: Answers) -> list[Found]:
    """Return how near each output is over all draws."""
    if not expected or not found:
        return [Found(name, LIMIT_DB if not expected else -LIMIT_DB) for name in names]
    columns = zip(names, zip(*expected, strict=True), zip(*found, strict=True), strict=True)
    return [_output(*column) for column in columns]


def _output(name: str, expected: Sequence[Any], found: Sequence[Any]) -> Found:
    if not all(map(_is_float, expected)):
        return _discrete(name, expected, found)
    a, b = (np.concatenate([np.ravel(x).astype(np.float64) for x in y]) for y in (expected, found))
    # infinite or no number: those that are so in one alone count as what is no float
    other = np.mean(~np.isclose(a, b, equal_nan=True) & ~(np.isfinite(a) & np.isfinite(b)))
    if other:
        return Found(
            name, decibels(1.0, float(other)), f"{100 * other:.0f} % are finite in one only"
        )
    finite = np.isfinite(a)
    a, b = a[finite], b[finite]
    if not a.size or np.array_equal(a, b):
        return Found(name, LIMIT_DB)

    is_constant = a.size < _FEW or np.ptp(a) < 1e-3 * np.abs(a).max()
    centre = 0.0 if is_constant else a.mean()
    power = np.square(a - centre)
    if a.size > _FEW and power.max() > _MOST * power.sum():
        return Found(name, LIMIT_DB, "one number has most of the power: 1/x near 0, and the like")
    return Found(name, decibels(float(power.sum()), float(np.square(a - b).sum())))


def _discrete(name: str, expected: Sequence[Any], found: Sequence[Any]) -> Found:
    if _same(expected, found):
        return Found(name, LIMIT_DB)
    if not all(isinstance(one, np.ndarray) for one in (*expected, *found)):
        return Found(name, 0.0, "not equal")
    other = np.mean(
        np.concatenate([np.ravel(a != b) for a, b in zip(expected, found, strict=True)])
    )
    return Found(name, decibels(1.0, float(other)), f"{100 * other:.0f} % are not equal")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, shown: Sequence[Feeds]) -> None:
        self.left = iter(shown)

    def get_next(self) -> Feeds | None:
        return next(self.left, None)


def by_static(model: bytes, shown: Sequence[Feeds]) -> Answers:
    """Return what `quantize_static`, calibrated on the draws, makes of them; none if it cannot."""
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder) / "static.onnx"
            quantization.quantize_static(
                onnx.ModelProto.FromString(model),
                path,
                _Reader(shown),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return [session.run(None, fed) for fed in shown]
    except Exception:  # it takes no such model
        return []
