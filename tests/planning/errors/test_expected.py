"""What each layer is expected to lose, and what the errors that make it up depend on."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, norm, trained
from spiq import Config, plan
from spiq.analysis import analyse
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.choose.decide import choose, make_plan
from spiq.planning.errors import network_errors
from spiq.planning.errors.error_model import FREEDOM
from spiq.planning.errors.expected import ExpectedError, expected_errors
from spiq.planning.errors.importance import importance_of
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.propagate import measure

STEM = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
BLOCK = (
    "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) " + bn("c2", "n2") + "[a] a = Add(n2, r1) "
    "[r2] r2 = Relu(a) [c3] y = Conv(r2, w3)"
)


def network() -> onnx.ModelProto:
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (4, 8, 1, 1)}
    return trained(build(STEM + BLOCK, **shapes, **norm("n1", 8), **norm("n2", 8)))


def expected(**options: int) -> dict[str, ExpectedError]:
    """Return the expected errors of the network, its scales as simple as they can be."""
    config = Config(method="static", **options)  # type: ignore[arg-type]
    known = analyse(read(network()), config)
    graph, measured = known.graph, known.measured
    next_names = known.prepared.next_names
    chosen = choose(graph, measured, known.importance, config, next_names=next_names)
    made = make_plan(graph, measured, chosen, config, model_hash="", version="")
    return expected_errors(graph, measured, made, chosen.placement, known.importance)


def test_rounding_of_weights_grows_with_the_square_of_the_step() -> None:
    fine, coarse = expected(weight_bits=7), expected(weight_bits=4)
    assert list(fine) == ["c1", "c2", "c3"]
    for name, error in fine.items():
        assert error.weights > 0
        assert coarse[name].weights == pytest.approx(error.weights * (63 / 7) ** 2, rel=1e-6)
        assert coarse[name].activations == pytest.approx(error.activations)
        assert coarse[name].total == coarse[name].weights + coarse[name].activations
        assert coarse[name].snr_db < error.snr_db


def test_activations_of_few_bits_cost_the_layers_that_read_them() -> None:
    """The first layer reads the network's input, which keeps 8 bits."""
    fine, coarse = expected(), expected(activation_bits=4)
    assert coarse["c1"].activations == pytest.approx(fine["c1"].activations)
    for name in ("c2", "c3"):
        assert coarse[name].weights == pytest.approx(fine[name].weights)
        assert 5 < coarse[name].activations / fine[name].activations < (255 / 15) ** 2


def test_ranges_of_sums_are_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tails are lighter: with those of layers, the range would be wider."""
    found = plan(network(), Config(method="static")).tensors["r2"]
    monkeypatch.setattr(network_errors, "freedom_of", lambda *_: FREEDOM)
    heavy = plan(network(), Config(method="static")).tensors["r2"]
    assert max(found.high) < max(heavy.high)


@pytest.mark.parametrize("source", ["input", "norm"])
def test_errors_of_pixels_are_white(source: str) -> None:
    """Of an image they pass by the squares of the weights; of other tensors as the signal does."""
    model = build("[c] y = Conv(x, w)", inputs="float[1,3,8,8] x", w=(4, 3, 3, 3))
    prepared = prepare(read(model))
    known = stats(np.zeros((1, 3, 1, 1)), np.ones((1, 3, 1, 1)), source=source)
    measured = measure(prepared, {"x": known})
    importance = importance_of(prepared.model.graph, measured)
    value, kernel = prepared.model.graph.inputs[0], _weight(prepared.model.graph)
    white = np.square(kernel).sum(axis=(0, 2, 3)) * _share(measured.stats, prepared.model.graph)
    same = np.allclose(importance[value].reshape(-1), white, rtol=1e-5)
    assert same == (source == "input")


def _weight(graph: ir.Graph) -> np.ndarray:
    held = graph[0].inputs[1]
    assert held is not None and held.const_value is not None
    return held.const_value.numpy()


def _share(known: dict[ir.Value, ChannelStats], graph: ir.Graph) -> float:
    return 1 / float(known[graph.outputs[0]].var.sum())
