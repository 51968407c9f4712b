"""Bounds in every spelling become one Relu or Clip."""

import numpy as np
import onnx
import pytest

from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.bounds import merge_bounds
from spiq.passes.canonical import split_sums
from spiq.passes.cleanup import plain_constants
from spiq.runtime.session import session

NUMBERS = {"zero": 0.0, "six": 6.0, "two": 2.0, "minus": -1.0, "most": 3.4028235e38}


def network(body: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> net (float[N,3,5] x) => (float[N,3,5] y) '
        f"{{ {body} }}"
    )
    for name, number in NUMBERS.items():
        array = np.array(number, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def ends(node: object) -> list[float | None]:
    return [None if v is None else float(v.const_value.numpy()) for v in node.inputs[1:]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "kinds", "bounds"),
    [
        ("y = Max(x, zero)", ["Relu"], []),
        ("y = Max(minus, x, zero)", ["Relu"], []),
        ("a = Max(x, zero) y = Min(a, six)", ["Clip"], [0, 6]),
        ("a = Min(six, x) y = Relu(a)", ["Clip"], [0, 6]),
        ("a = Relu(x) y = Clip(a, zero, six)", ["Clip"], [0, 6]),
        ("a = Relu(x) y = Clip(a, , six)", ["Clip"], [0, 6]),
        ("a = Relu(x) y = Clip(a)", ["Relu"], []),
        ("a = Clip(x, minus, six) b = Relu(a) y = Clip(b, , two)", ["Clip"], [0, 2]),
        ("y = Clip(x, zero)", ["Relu"], []),
        ("y = Clip(x, zero, most)", ["Relu"], []),
        ("c = Greater(x, zero) y = Where(c, x, zero)", ["Relu"], []),
        ("c = Less(x, zero) y = Where(c, zero, x)", ["Relu"], []),
        ("c = Less(x, six) y = Where(c, x, six)", ["Clip"], [None, 6]),
        ("c = Greater(x, zero) y = Where(c, zero, x)", ["Clip"], [None, 0]),
        ("c = Greater(x, six) y = Where(c, x, zero)", ["Greater", "Where"], None),
        ("a = Relu(x) b = Clip(a, , six) y = Add(a, b)", ["Relu", "Clip", "Add"], None),
        ("a = Abs(x) y = Max(x, a)", ["Abs", "Max"], None),
    ],
)
def test_bounds_are_written_once(body: str, kinds: list[str], bounds: object) -> None:
    proto = network(body)
    model = read(proto)
    plain_constants(model)
    merge_bounds(model)
    found = list(model.graph)
    assert [node.op_type for node in found] == kinds
    if bounds is not None:
        assert ends(found[0]) == bounds
    x = np.linspace(-9, 9, 60, dtype=np.float32).reshape(4, 3, 5)
    before, after = (
        session(m).run(["y"], {"x": x})[0] for m in (proto.SerializeToString(), serialize(model))
    )
    np.testing.assert_array_equal(before, after)


def test_sums_of_several_tensors_become_sums_of_two() -> None:
    proto = network("a = Relu(x) b = Abs(x) y = Sum(x, a, b)")
    model = read(proto)
    split_sums(model)
    assert [node.op_type for node in model.graph] == ["Relu", "Abs", "Add", "Add"]
    x = np.linspace(-9, 9, 60, dtype=np.float32).reshape(4, 3, 5)
    before, after = (
        session(m).run(["y"], {"x": x})[0] for m in (proto.SerializeToString(), serialize(model))
    )
    np.testing.assert_allclose(before, after, rtol=1e-6)
