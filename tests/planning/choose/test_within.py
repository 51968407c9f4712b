"""No range passes what the stored tensors in front of it leave: steps would be spent on nothing."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, floats, images_for, norm, resolved_of, run, trained
from spiq import Config, quantize
from spiq.analysis import analyse
from spiq.io.read import read
from spiq.methods import METHODS
from spiq.planning.choose.decide import placed
from spiq.planning.errors.held import Held
from spiq.planning.placement.values import Placement
from spiq.stats.propagate import Measured
from spiq.targets import TARGETS

NUMBERS = {"two": np.array(2, np.float32), "s": floats(0.9), "b": floats(-0.45)}
SPELLINGS = {
    "Relu, Pow": "r{i} = Relu(n{i}) x{i} = Pow(r{i}, two) ",
    "Relu, Mul": "r{i} = Relu(n{i}) x{i} = Mul(r{i}, r{i}) ",
    "by itself": "x{i} = Mul(n{i}, n{i}) ",
    "StarReLU": (
        "r{i} = Relu(n{i}) q{i} = Mul(r{i}, r{i}) m{i} = Mul(s, q{i}) x{i} = Add(m{i}, b) "
    ),
}


def parts(model: onnx.ModelProto) -> tuple[ir.Graph, Measured, Placement]:
    known = analyse(read(model), Config())
    method, target = METHODS["spiq"], TARGETS["onnxruntime"]
    return known.graph, known.measured, placed(known.graph, known.measured, target, method, {})


def chain(spelling: str, layers: int) -> onnx.ModelProto:
    """Convolutions with BatchNorm, each raised to a power."""
    body, arrays = "", {}
    for i in range(1, layers + 1):
        source, size = ("x", 3) if i == 1 else (f"x{i - 1}", 16)
        body += f"[c{i}] c{i} = Conv<pads=[1,1,1,1]>({source}, w{i}) " + bn(f"c{i}", f"n{i}")
        body += SPELLINGS[spelling].format(i=i)
        arrays |= {f"w{i}": (16, size, 3, 3), **norm(f"n{i}", 16)}
    body += f"[o] o = Conv(x{layers}, v) p = GlobalAveragePool(o) y = Flatten(p)"
    used = {k: v for k, v in NUMBERS.items() if f"{k})" in body or f"({k}," in body}
    return trained(build(body, **arrays, v=(8, 16, 1, 1), **used))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_powers_one_behind_the_other(spelling: str) -> None:
    """StarReLU had 20 dB: its steps were those of a range twice as wide as what it is made of."""
    model = chain(spelling, 2)
    result = quantize(model.SerializeToString(), Config(timing=False))
    feed = images_for(model)
    pair = (model, onnx.load_from_string(result.model))
    before, after = (run(one, feed, outputs=["y"])["y"] for one in pair)
    error = np.square(before - after).sum()
    assert 10 * np.log10(np.square(before - before.mean()).sum() / error) > 23


@pytest.mark.parametrize("spelling", ["Relu, Pow", "Relu, Mul"])
def test_a_square_ends_where_what_it_is_made_of_does(spelling: str) -> None:
    made, _, found = resolved_of(chain(spelling, 2))
    for i in (1, 2):
        ends = found.tensors[f"r{i}"].ends[1].max()
        assert max(made.tensors[f"x{i}"].high) <= 1.03 * ends**2


def test_only_what_is_read_as_it_is_stored_bounds() -> None:
    """A layer reads ``t`` from integers, and a square in float from what the Tanh made."""
    norms = norm("n", 8)
    body = "c = Conv(x, w) " + bn("c", "n") + "t = Tanh(n) q = Pow(t, two) "
    body += "y = Conv(t, v) z = Conv(q, v)"
    model = build(body, outputs="y, z", w=(8, 3, 1, 1), v=(4, 8, 1, 1), two=NUMBERS["two"], **norms)
    graph, measured, placement = parts(model)
    values = {str(value.name): value for node in graph for value in node.outputs}
    narrow = np.zeros((1, 8, 1, 1)), np.full((1, 8, 1, 1), 0.5)
    assert values["t"] in placement.grids
    assert Held(placement, measured, {values["t"]: narrow}).bounds(values["q"]) is None
    found = Held(placement, measured, {values["n"]: narrow}).bounds(values["q"])
    assert found is not None
    np.testing.assert_allclose(found[1], np.tanh(0.5) ** 2)
