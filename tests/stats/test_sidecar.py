"""Statistics kept beside a file come back to the layers whose weights they are of."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spiq
from small_networks import bn, build, norm, trained
from spiq import Config, Statistics
from spiq.errors import ConfigError
from spiq.io.read import read
from spiq.io.write import serialize
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.sidecar import collect, restore


def network() -> onnx.ModelProto:
    body = f"""
        [stem] c = Conv<pads=[1,1,1,1]>(x, w) {bn("c", "n")} r = Relu(n)
        [body] d = Conv<pads=[1,1,1,1], group=2>(r, v) {bn("d", "m")}
        [up] u = ConvTranspose<strides=[2,2], group=2>(m, t) {bn("u", "k")}
        p = GlobalAveragePool(k) f = Flatten(p)
        [head] y = Gemm<transB=1>(f, h, b)
    """
    shapes = {"w": (8, 3, 3, 3), "v": (8, 4, 3, 3), "t": (8, 3, 2, 2), "h": (5, 6), "b": (5,)}
    norms = {**norm("n", 8), **norm("m", 8), **norm("k", 6)}
    return trained(build(body, **shapes, **norms))


def prepared(model: onnx.ModelProto | bytes) -> Prepared:
    return prepare(read(model))


def folded(model: onnx.ModelProto) -> bytes:
    """Fold BatchNorm away as exporters do; what layers are called is lost, too."""
    graph = prepared(model).model
    for place, node in enumerate(graph.graph):
        node.name = f"node_{place}"
    return serialize(graph)


@pytest.fixture(scope="module")
def kept() -> Statistics:
    return collect(prepared(network()))


def test_every_layer_with_batchnorm_is_kept(kept: Statistics) -> None:
    assert list(kept.layers) == ["stem", "body", "up"]
    beta = numpy_helper.to_array(
        next(held for held in network().graph.initializer if held.name == "n_b")
    )
    np.testing.assert_allclose(kept.layers["stem"].mean, beta, rtol=1e-6)


def test_json_there_and_back(kept: Statistics, tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    path.write_text(kept.to_json())
    again = Statistics.load(path)
    for name, one in kept.layers.items():
        for key, array in vars(one).items():
            np.testing.assert_allclose(vars(again.layers[name])[key], array, rtol=1e-6)
    assert Statistics.load(path).to_json() == kept.to_json()


def test_a_folded_network_gets_back_what_it_stated(kept: Statistics) -> None:
    wanted = prepared(network())
    found, notes = restore(prepared(folded(network())), kept)
    assert notes == ["statistics kept beside the file: of 3 layers"]
    assert set(found.stated) == set(wanted.stated)
    for name, moments in wanted.stated.items():
        np.testing.assert_allclose(found.stated[name].mean, moments.mean)
        np.testing.assert_allclose(found.stated[name].var, moments.var)
    assert len(found.norms) == 3


def test_quantized_with_them_as_with_batchnorm(kept: Statistics) -> None:
    config = Config(input_range=((-2.1, 2.6),))
    original = spiq.plan(network(), config)
    without = spiq.plan(folded(network()), config)
    again = spiq.plan(folded(network()), config, statistics=kept)
    assert [t.low for t in again.tensors.values()] == [t.low for t in original.tensors.values()]
    assert [t.low for t in again.tensors.values()] != [t.low for t in without.tensors.values()]
    assert not [note for note in again.notes if "synthetic" in note]
    result = spiq.apply(folded(network()), again, statistics=kept)
    assert (
        result.report.quantized_layers == spiq.quantize(network(), config).report.quantized_layers
    )


def test_what_the_network_states_counts_more(kept: Statistics) -> None:
    model = prepared(network())
    found, _ = restore(model, kept)
    assert found.stated == model.stated
    assert found.norms == model.norms


def test_layers_are_found_by_weights_and_names_decide_between_equal_ones() -> None:
    body = f"""
        [a] c = Conv(x, w) {bn("c", "n")} r = Relu(n)
        [b] d = Conv(r, v) {bn("d", "m")} s = Relu(m)
        [e] e = Conv(s, u) {bn("e", "k")} y = Relu(k)
    """
    model = build(body, w=(3, 3, 1, 1), v=(3, 3, 1, 1), u=(3, 3, 1, 1),
                  **norm("n", 3), **norm("m", 3), **norm("k", 3))  # fmt: skip
    arrays = {held.name: held for held in model.graph.initializer}
    for name, same in (("v", "w"), ("m_g", "n_g"), ("m_v", "n_v")):
        arrays[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(arrays[same]), name))
    kept = collect(prepared(model))
    graph = prepared(model).model
    for node in graph.graph:
        node.name = node.name.replace("b", "/net/b/Conv")
    found, _ = restore(prepared(serialize(graph)), kept)
    wanted = prepared(model)
    for name, moments in wanted.stated.items():
        np.testing.assert_allclose(found.stated[name].mean, moments.mean)


def test_layers_that_the_network_has_not_are_said(kept: Statistics) -> None:
    more = Statistics({**kept.layers, "other": kept.layers["stem"]})
    _, notes = restore(prepared(folded(network())), more)
    assert notes[0].endswith("; 1 are of layers that the network has not, such as 'other'")


def test_statistics_of_another_network_are_refused(kept: Statistics) -> None:
    other = build("c = Conv(x, w) y = Relu(c)", w=(8, 3, 3, 3), seed=5)
    with pytest.raises(ConfigError, match="none has the weights of a layer"):
        spiq.quantize(other, statistics=kept)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "no JSON"),
        ("[]", "no statistics of format 1"),
        ('{"format": 2, "layers": {}}', "no statistics of format 1"),
        ('{"format": 1}', "'layers' is missing"),
        ('{"format": 1, "layers": {"a": 1}}', "layer 'a': 'mean' is no list"),
        ('{"format": 1, "layers": {"a": {"mean": [0], "var": [1]}}}', "'rows' is no list"),
        ('{"format": 1, "layers": {"a": {"mean": [NaN], "var": [1], "rows": [1]}}}', "'mean' is"),
        ('{"format": 1, "layers": {"a": {"mean": [true], "var": [1], "rows": [1]}}}', "'mean' is"),
        ('{"format": 1, "layers": {"a": {"mean": [0], "var": [1, 2], "rows": [1]}}}', "one length"),
        ('{"format": 1, "layers": {"a": {"mean": [0], "var": [-1], "rows": [1]}}}', "below 0"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        Statistics.load(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Statistics.load(tmp_path / "none.json")
