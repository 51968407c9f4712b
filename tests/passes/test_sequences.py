"""Splits through a sequence become Split, and nothing else does."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.prepare import prepare
from spiq.runtime.session import session

X = np.random.default_rng(0).standard_normal((2, 6, 4, 4)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((6, 6, 1, 1)).astype(np.float32)


def network(body: str, outputs: str = "y") -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 20]> net (float[N,6,4,4] x) => ({outputs}) '
        f"{{ c = Conv(x, w) {body} }}"
    )
    model.graph.initializer.append(numpy_helper.from_array(W, "w"))
    for output in model.graph.output:
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model


def run(model: bytes) -> list[np.ndarray]:
    return session(model).run(None, {"x": X})


def prepared(proto: onnx.ModelProto) -> tuple[list[str], list[np.ndarray]]:
    model = prepare(read(proto)).model
    return [node.op_type for node in model.graph], run(serialize(model))


PARTS = """
    zero = Constant<value_int=0>()
    last = Constant<value_int=-1>()
    a = SequenceAt(s, zero)
    b = SequenceAt(s, last)
"""


@pytest.mark.parametrize(
    ("split", "after"),
    [
        ("k = Constant<value_int=3>() s = SplitToSequence<axis=1>(c, k)", "y = Add(a, b)"),
        ("k = Constant<value_int=4>() s = SplitToSequence<axis=1>(c, k)",
         "y = Concat<axis=1>(b, a)"),
        ("k = Constant<value_ints=[1,4,1]>() s = SplitToSequence<axis=-3>(c, k)", "y = Mul(a, b)"),
        ("s = SplitToSequence<axis=1, keepdims=0>(c)", "y = Add(a, b)"),
        ("s = SplitToSequence<axis=1>(c)", "y = Add(a, b)"),
    ],
)  # fmt: skip
def test_parts_taken_by_constant_indices(split: str, after: str) -> None:
    proto = network(f"{split} {PARTS} {after}")
    operators, found = prepared(proto)
    assert not {"SplitToSequence", "SequenceAt", "Identity"} & set(operators)
    assert "Split" in operators
    np.testing.assert_allclose(found[0], run(proto.SerializeToString())[0], rtol=1e-6)


def test_a_sequence_of_unknown_length_stays() -> None:
    proto = network(
        "k = Constant<value_int=1>() s = SplitToSequence<axis=0>(c, k) zero = Constant<value_int=0>"
        "() y = SequenceAt(s, zero)"
    )
    assert "SplitToSequence" in prepared(proto)[0]


def test_a_sequence_that_others_read_stays() -> None:
    proto = network(
        "k = Constant<value_int=3>() s = SplitToSequence<axis=1>(c, k) "
        "y = ConcatFromSequence<axis=1>(s)"
    )
    assert "SplitToSequence" in prepared(proto)[0]


def test_a_reshape_in_which_0_would_be_a_size_is_made_constant_too() -> None:
    body = """
        n = Shape<start=0, end=1>(c)
        k = Constant<value_ints=[2, 3, 16]>()
        t = Concat<axis=0>(n, k)
        y = Reshape<allowzero=1>(c, t)
    """
    operators, found = prepared(network(body))
    assert operators == ["Conv", "Reshape"]
    np.testing.assert_allclose(found[0], run(network(body).SerializeToString())[0])


SIZES = """
    sizes = Constant<value_ints=[2, 4]>()
    others = Constant<value_ints=[4, 2]>()
    a, b = Split<axis=1>(c, sizes)
"""


def test_equal_splits_of_a_tensor_are_one() -> None:
    proto = network(f"{SIZES} d, e = Split<axis=1>(c, sizes) p = Relu(a) y = Concat<axis=1>(p, e)")
    operators, found = prepared(proto)
    assert operators.count("Split") == 1
    for ours, theirs in zip(found, run(proto.SerializeToString()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("d, e = Split<axis=1>(c, others) y = Concat<axis=1>(a, e)", "y"),
        ("d, e = Split<axis=1>(c, sizes) y = Relu(a) z = Relu(e)", "y, z, d"),
    ],
    ids=["other sizes", "a part is an output"],
)
def test_splits_that_are_two(body: str, outputs: str) -> None:
    operators, _ = prepared(network(SIZES + body, outputs))
    assert operators.count("Split") == 2
