"""Functions of one number that are spelt as several operators."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from spiq.io.read import read
from spiq.stats.channel import stats
from spiq.stats.rules.activations import FUNCTIONS
from spiq.stats.rules.compositions import apply_composed, composed, raised

GELU = (
    "half = Constant<value=float {0.5}>() one = Constant<value=float {1.0}>() "
    "r = Constant<value=float {1.41421356}>() d = Div(v, r) e = Erf(d) p = Add(e, one) "
    "h = Mul(v, half) y = Mul(h, p)"
)
SPELLINGS = {
    "Mish": "s = Softplus(v) t = Tanh(s) y = Mul(v, t)",
    "Gelu": GELU,
    "Elu": (
        "zero = Constant<value=float {0.0}>() one = Constant<value=float {1.0}>() "
        "c = Less(v, zero) e = Exp(v) d = Sub(e, one) y = Where(c, d, v)"
    ),
    "ThresholdedRelu": (
        "zero = Constant<value=float {0.0}>() one = Constant<value=float {1.0}>() "
        "g = Greater(v, one) c = Not(g) y = Where(c, zero, v)"
    ),
    "HardSwish": (
        "three = Constant<value=float {3.0}>() six = Constant<value=float {6.0}>() "
        "zero = Constant<value=float {0.0}>() a = Add(v, three) c = Clip(a, zero, six) "
        "d = Div(c, six) y = Mul(d, v)"
    ),
}


def nodes(body: str) -> list[ir.Node]:
    text = (
        '<ir_version: 9, opset_import: ["": 20]> net (float[2,3,4,4] x, float[2,3,4,4] w) '
        f"=> (float[2,3,4,4] y) {{ v = Conv(x, k) {body} }}"
    )
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "k")
    )
    return list(read(model).graph)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_in_several_operators_is_the_function(name: str) -> None:
    found = composed(nodes(SPELLINGS[name])[-1])
    plain = FUNCTIONS[name](ir.node(name, [ir.Value(name="x")]))
    assert found is not None
    assert plain is not None
    x = np.linspace(-6, 6, 50)
    assert found[0].name == "v"
    np.testing.assert_allclose(found[1](x), plain(x), atol=1e-6)


def test_the_square_of_a_tensor_is_no_product_of_two() -> None:
    found = composed(nodes("y = Mul(v, v)")[-1])
    assert found is not None
    known = stats(np.zeros((1, 1, 1, 1)), 1.0)
    result = apply_composed(found[1], known)
    assert result.mean.item() == pytest.approx(1, rel=1e-3)
    assert result.var.item() == pytest.approx(2, rel=1e-3)
    assert result.low.item() == pytest.approx(0, abs=1e-3)
    assert result.high.item() == np.inf


def test_what_is_chosen_by_another_tensor_is_no_function_of_one() -> None:
    chosen = "zero = Constant<value=float {0.0}>() c = Less(w, zero) r = Relu(v) y = Where(c, r, v)"
    assert composed(nodes(chosen)[-1]) is None


def test_two_tensors_are_not_one() -> None:
    assert composed(nodes("y = Mul(v, w)")[-1]) is None
    assert composed(nodes("k2 = Conv(v, k) y = Add(v, k2)")[-1]) is None


TWO = "two = Constant<value=float {2.0}>() "
POWERS = {
    "a squared ReLU": TWO + "r = Relu(v) y = Pow(r, two)",
    "by itself": "y = Mul(v, v)",
    "a cube": "q = Mul(v, v) y = Mul(v, q)",
    "a root times itself": "half = Constant<value=float {1.5}>() r = Relu(v) y = Pow(r, half)",
}
OTHERS = {
    "a gate": "s = Sigmoid(v) y = Mul(v, s)",
    "Mish": SPELLINGS["Mish"],
    "twice": TWO + "y = Mul(v, two)",
    "its exponential": "e = Exp(v) y = Mul(v, e)",
    "two tensors": "y = Mul(v, w)",
}


@pytest.mark.parametrize("body", [*POWERS.values(), *OTHERS.values()], ids=[*POWERS, *OTHERS])
def test_powers_grow_faster_than_what_they_are_made_of(body: str) -> None:
    assert (raised(nodes(body)[-1]) is not None) == (body in POWERS.values())
