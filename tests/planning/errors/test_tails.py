"""Which tensors have lighter tails: sums of two, and of many where no rare thing is known yet."""

import pytest

from small_networks import build
from spiq.config import Config
from spiq.io.read import read
from spiq.pipeline import plan
from spiq.planning.errors import network_errors
from spiq.planning.errors.error_model import FREEDOM, LIGHT_FREEDOM
from spiq.planning.errors.tails import early_sums, freedom_of


@pytest.mark.parametrize(
    ("body", "freedom"),
    [
        ("[c] y = Conv(x, w)", FREEDOM),
        ("[c] c = Conv(x, w) [a] y = Add(c, x)", LIGHT_FREEDOM),
        ("[c] c = Conv(x, w) [a] a = Add(c, x) [r] y = Relu(a)", LIGHT_FREEDOM),
        ("[c] c = Conv(x, w) [a] y = Add(c, b)", FREEDOM),
        ("[a] a = Add(x, x) [c] y = Conv(a, w)", FREEDOM),
    ],
    ids=["layer", "sum", "rectified sum", "layer and constant", "layer behind a sum"],
)
def test_sums_have_lighter_tails(body: str, freedom: float) -> None:
    model = build(body, inputs="float[1,4,5,7] x", w=(4, 4, 1, 1), b=(1, 4, 1, 1))
    graph = read(model).graph
    assert freedom_of(next(v for n in graph for v in n.outputs if v.name == "y")) == freedom


LAYERS = """
    [dense] d = Conv(x, w) [second] f = Conv(d, n) [alone] a = Conv<group=16>(f, u)
    [end] e = Conv(a, n) [r] r = Relu(e) [late] y = Conv(r, n)
"""


@pytest.mark.parametrize(
    ("inputs", "light"), [(16, {"second", "dense"}), (15, set())], ids=["many", "too few"]
)
def test_sums_of_many_are_dense_layers_of_the_first_half(inputs: int, light: set[str]) -> None:
    sizes = {"w": (16, inputs, 1, 1), "n": (16, 16, 1, 1), "u": (16, 1, 1, 1)}
    if inputs < 16:
        sizes |= {"w": (15, 15, 1, 1), "n": (15, 15, 1, 1), "u": (15, 1, 1, 1)}
    body = LAYERS.replace("group=16", f"group={inputs}")
    graph = read(build(body, inputs=f"float[1,{inputs},5,7] x", **sizes)).graph
    early = early_sums(graph)
    assert {node.name for node in early} == light
    tails = {v.name: freedom_of(v, early) for node in graph for v in node.outputs}
    written = {"dense": "d", "second": "f"}
    assert {name for name, found in tails.items() if found == LIGHT_FREEDOM} == {
        written[name] for name in light
    }


def test_activations_and_pools_keep_the_tails_of_what_they_read() -> None:
    layers = "[c] c = Conv(x, w) [r] r = Relu(c)"
    body = f"{layers} [p] p = MaxPool<kernel_shape=[2,2]>(r) [o] y = Conv(p, w)"
    graph = read(build(body, inputs="float[1,16,6,6] x", w=(16, 16, 1, 1))).graph
    found = {v.name: freedom_of(v, early_sums(graph)) for node in graph for v in node.outputs}
    assert found == {"c": LIGHT_FREEDOM, "r": LIGHT_FREEDOM, "p": LIGHT_FREEDOM, "y": FREEDOM}


def test_ranges_of_sums_of_many_are_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    body = (
        "[c] c = Conv(x, w) [r] r = Relu(c) [o] o = Conv(r, w) [s] s = Relu(o) [l] y = Conv(s, w)"
    )
    model = build(body, inputs="float[1,16,16,16] x", w=(16, 16, 1, 1))
    found = plan(model, Config(method="static")).tensors["r"]
    monkeypatch.setattr(network_errors, "early_sums", lambda graph: frozenset())
    heavy = plan(model, Config(method="static")).tensors["r"]
    assert max(found.high) < max(heavy.high)
