"""Layers on tokens become layers on rows, and compute what they did."""

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import build, floats, run
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.tokens import token_layers

BIAS = floats(1, -2, 3, 0.5)


@pytest.mark.parametrize(
    ("given", "body", "operators"),
    [
        ("float[2,5,6] x", "y = MatMul(x, w)", "Reshape Gemm Reshape"),
        ("float[N,5,6] x", "y = MatMul(x, w)", "Reshape Gemm Reshape"),
        ("float[N,T,6] x", "y = MatMul(x, w)", "Reshape Shape Slice Concat Gemm Reshape"),
        ("float[2,3,5,6] x", "m = MatMul(x, w) y = Add(b, m)", "Reshape Gemm Reshape"),
        ("float[2,5,6] x", "m = MatMul(x, w) y = Add(m, one)", "Reshape Gemm Reshape"),
        ("float[2,5,6] x", "m = MatMul(x, w) y = Add(m, rows)", "Reshape Gemm Reshape Add"),
        ("float[2,5,6] x", "m = MatMul(x, w) y = Add(m, m)", "Reshape Gemm Reshape Add"),
        (
            "float[2,5,6] x",
            "m = MatMul(x, w) n = MatMul(x, w) y = Mul(m, n)",
            "Reshape Gemm Reshape Gemm Reshape Mul",
        ),
        ("float[5,6] x", "y = MatMul(x, w)", "MatMul"),
        ("float[2,5,6] x", "y = MatMul(x, v)", "MatMul"),
    ],
)
def test_a_product_by_a_matrix_is_a_gemm(given: str, body: str, operators: str) -> None:
    known = {
        "w": (6, 4), "v": (2, 6, 4), "b": BIAS, "one": floats(7),
        "rows": np.arange(5, dtype=np.float32).reshape(5, 1),
    }  # fmt: skip
    names = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = {name: value for name, value in known.items() if name in names}
    proto = build(body, inputs=given, **used)
    model = read(proto)
    token_layers(model)
    assert [node.op_type for node in model.graph] == operators.split()
    sizes = [size if isinstance(size, int) else 3 for size in shape(model)]
    feed = {"x": np.random.default_rng(0).standard_normal(sizes).astype(np.float32)}
    expected, found = run(proto, feed)["y"], run(serialize(model), feed)["y"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def shape(model: ir.Model) -> list[object]:
    return list(model.graph.inputs[0].shape or ())


def test_a_mask_is_no_bias() -> None:
    mask = floats(0, 0, -np.inf, 0)
    model = read(build("m = MatMul(x, w) y = Add(m, b)", inputs="float[2,5,6] x", w=(6, 4), b=mask))
    token_layers(model)
    assert [node.op_type for node in model.graph] == ["Reshape", "Gemm", "Reshape", "Add"]
