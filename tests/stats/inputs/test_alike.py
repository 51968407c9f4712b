"""Inputs of one shape are pictures made in one way."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.session import session
from spiq.runtime.synthetic import soft_pictures, synthetic_pictures
from spiq.runtime.trials import tried
from spiq.stats.inputs.alike import together
from spiq.stats.inputs.conventions import CONVENTIONS, Fourth
from spiq.stats.inputs.evidence import Verdict
from spiq.stats.inputs.judge import judge

BRANCH = "[c{0}] c{0} = Conv(x{0}, w{0}, b{0}) [r{0}] r{0} = Relu(c{0}) "
TAIL = (
    "[p] pa = GlobalAveragePool(ra) [q] pb = GlobalAveragePool(rb) [d] d = Sub(pa, pb) "
    "[h] y = Conv(d, u) "
)


def network(second: str = "float[1,3,32,32]") -> onnx.ModelProto:
    body = BRANCH.format("a") + BRANCH.format("b") + TAIL
    rng = np.random.default_rng(0)
    biases = {f"b{side}": rng.standard_normal(16).astype(np.float32) for side in "ab"}
    shapes = {"wa": (16, 3, 3, 3), "wb": (16, 3, 3, 3), "u": (8, 16, 1, 1)}
    return build(body, inputs=f"float[1,3,32,32] xa, {second} xb", **shapes, **biases)


def verdict(favoured: int, odds: float, **more: object) -> Verdict:
    table = np.zeros((len(CONVENTIONS), 2))
    table[favoured] += odds
    return replace(Verdict(table), **more)


def test_both_are_taken_for_the_same_before_and_after_trials() -> None:
    prepared = prepare(read(network()))
    found = judge(prepared)
    assert found["xa"] is found["xb"]
    found = tried(prepared, found)
    assert found["xa"] is found["xb"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (verdict(0, 9.0), verdict(2, 9.0)),
        (verdict(0, 9.0, stated=(0.4, 0.3)), verdict(0, 9.0, stated=(0.5, 0.3))),
        (verdict(0, 9.0), verdict(0, 9.0, fourths=(Fourth(10.0, 5.0, 1.0, 3.0),))),
    ],
)
def test_what_contradicts_or_is_stated_stays_apart(a: Verdict, b: Verdict) -> None:
    graph = prepare(read(network())).model.graph
    assert together(graph, {"xa": a, "xb": b}) == {"xa": a, "xb": b}


def test_the_surer_one_decides() -> None:
    graph = prepare(read(network())).model.graph
    joint = together(graph, {"xa": verdict(0, 1.0), "xb": verdict(2, 6.0)})
    assert joint["xa"].best == joint["xb"].best == CONVENTIONS[2]


def test_another_shape_is_another_thing() -> None:
    graph = prepare(read(network("float[1,3,40,40]"))).model.graph
    a, b = verdict(0, 1.0), verdict(2, 6.0)
    assert together(graph, {"xa": a, "xb": b}) == {"xa": a, "xb": b}


def test_they_see_the_same_thing_every_other_time() -> None:
    opened = session(network().SerializeToString())
    for number, same in ((0, False), (1, True), (2, False)):
        seen = synthetic_pictures(opened, number=number)
        assert np.array_equal(np.roll(seen["xa"], 2, axis=-1), seen["xb"]) == same
    open_batch = build("y = Sub(xa, xb)", inputs="float[N,3,32,32] xa, float[N,3,32,32] xb")
    opened = session(open_batch.SerializeToString())
    seen = soft_pictures(opened, number=0)
    equal = [np.array_equal(np.roll(a, 2, axis=-1), b) for a, b in zip(*seen.values(), strict=True)]
    assert sum(equal) == len(equal) // 2 > 0
