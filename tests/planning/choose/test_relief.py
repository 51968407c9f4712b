"""Layers stay in float where one tensor brings much of the error and its readers do little."""

from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, planned, run, trained
from spiq.config import Config
from spiq.methods import Method
from spiq.pipeline import apply, plan, quantize
from spiq.planning.choose import by_group as module
from spiq.planning.choose.group import Group, Scaled
from spiq.planning.choose.relief import Cost, Read, relieved
from spiq.planning.choose.scales import decide
from spiq.targets import ONNXRUNTIME

LAYERS = 30


def network(layers: int = LAYERS) -> onnx.ModelProto:
    """A depthwise layer that makes much of channels far below 0 behind a LeakyRelu, then others."""
    body = "[c0] c0 = Conv<pads=[1,1,1,1]>(x, w0) " + bn("c0", "n0")
    body += "[l0] l0 = LeakyRelu<alpha=0.05>(n0) [c1] c1 = Conv<pads=[1,1,1,1],group=16>(l0, w1) "
    body += bn("c1", "n1") + "[l1] l1 = LeakyRelu<alpha=0.05>(n1) "
    constants = {"w0": (16, 3, 3, 3), "w1": (16, 1, 3, 3), **norm("n0", 16), **norm("n1", 16)}
    constants["n0_b"] = np.where(np.arange(16) < 8, -5 * constants["n0_g"], constants["n0_b"])
    last = "l1"
    for index in range(2, layers):
        body += f"[c{index}] c{index} = Conv<pads=[1,1,1,1]>({last}, w{index}) "
        body += bn(f"c{index}", f"n{index}") + f"[r{index}] r{index} = Relu(n{index}) "
        constants |= {f"w{index}": (16, 16, 3, 3), **norm(f"n{index}", 16)}
        last = f"r{index}"
    body += f"[o] y = Conv({last}, wo)"
    return trained(build(body, wo=(4, 16, 1, 1), **constants))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return network()


def test_the_reader_stays_in_float_and_says_why(model: onnx.ModelProto) -> None:
    made = plan(model)
    assert list(made.left_in_float) == ["c1"]
    assert "of the error expected of all" in made.left_in_float["c1"]
    assert not {"l0", "n1"} & made.tensors.keys()


def test_it_pays_and_the_plan_can_be_applied(model: onnx.ModelProto) -> None:
    feed = images_for(model, 4)
    exact = run(model, feed)["y"]

    def error(quantized: bytes) -> float:
        return float(np.square(run(quantized, feed)["y"] - exact).sum())

    kept = apply(model, plan(model))
    assert kept.plan.left_in_float.keys() == {"c1"}
    assert error(kept.model) < 0.8 * error(quantize(model, Config(method="static")).model)


def test_not_where_the_reader_is_much_of_the_network() -> None:
    assert not plan(network(4)).left_in_float


def test_not_for_a_method_that_is_as_published(model: onnx.ModelProto) -> None:
    assert not plan(model, Config(method="static")).left_in_float


def test_not_where_errors_are_alike(model: onnx.ModelProto) -> None:
    _, placement, graph = planned(model, Config(method="static"))
    costs = [Cost([value], 1.0) for value in placement.grids]
    assert relieved(graph, placement, costs) == {}


def test_a_layer_alone_is_spared_where_little_is_left_of_its_output() -> None:
    _, placement, graph = planned(network(), Config(method="static"))
    layers = [node for node in placement.integer if node.op_type == "Conv"]
    left = {node: 18.0 if node.name == "c5" else 30.0 for node in layers}
    reads = [Read(node, 0.1, partial(left.__getitem__, node)) for node in layers]
    costs = [Cost([value], 1.0) for value in placement.grids] + [Cost([], 1.0, reads)]
    assert list(relieved(graph, placement, costs)) == []
    reads = [Read(one.node, 1.0, one.left) for one in reads]
    found = relieved(graph, placement, [*costs[:-1], Cost([], 1.0, reads)])
    assert list(found) == ["c5"]
    assert "18 dB" in found["c5"]
    dearer = replace(ONNXRUNTIME, spared=0.001)  # where float takes longer
    assert relieved(graph, placement, [*costs[:-1], Cost([], 1.0, reads)], dearer) == {}


def test_only_what_it_changes_is_decided_again(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is kept is what would have been decided."""
    count = []

    def counted(group: Group, method: Method) -> Scaled:
        count.append(group)
        return decide(group, method)

    monkeypatch.setattr(module, "decide", counted)
    made = plan(model)
    first = len(count)
    alone = plan(model, Config(exclude=("c1",)))
    again = len(count) - first
    assert first < 1.2 * again
    assert made.tensors == alone.tensors


def test_weights_that_are_read_once_are_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A last layer on means does 3 % of the multiplications, and takes far more of the time."""
    body, last = "", "x"
    for index in range(LAYERS):
        body += f"[c{index}] c{index} = Conv<pads=[1,1,1,1]>({last}, w{index}) "
        last = f"c{index}"
    body += f"[p] p = GlobalAveragePool({last}) [f] f = Flatten(p) [g] y = Gemm(f, v)"
    weights = {f"w{index}": (16, 16 if index else 3, 3, 3) for index in range(LAYERS)}
    _, placement, graph = planned(build(body, v=(16, 30000), **weights))
    costs = [Cost([value], 1.0 if value.name == "f" else 1e-3) for value in placement.grids]
    assert relieved(graph, placement, costs) == {}
    monkeypatch.setattr("spiq.planning.choose.relief._READ", 0)
    assert list(relieved(graph, placement, costs)) == ["g"]
