"""Networks whose BatchNorm was folded away are observed on synthetic images."""

import numpy as np
import onnx_ir as ir

import spiq
from spiq.config import Config
from spiq.demo import model_path
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.observe import POORER, lacks_statistics, observe
from spiq.stats.inputs import input_stats

GIVEN = Config(input_mean=(78.0,), input_std=(96.0,))


def folded() -> bytes:
    """The demo network as exporters write it by default."""
    return ir.to_proto(prepare(read(model_path())).model).SerializeToString()


def test_only_a_network_without_statistics_lacks_them() -> None:
    assert not lacks_statistics(prepare(read(model_path())))
    assert lacks_statistics(prepare(read(folded())))


def test_observed_moments_are_near_the_stated_ones() -> None:
    stated = prepare(read(model_path())).stated
    bare = prepare(read(folded()))
    observed = observe(bare, input_stats(bare, GIVEN)[0]).stated
    ratios = []
    for name, moments in stated.items():
        live = moments.var > 1e-6 * moments.var.max()
        ratios.append(np.median(observed[name].var[live] / POORER / moments.var[live]))
    assert len(ratios) > 15
    assert 0.2 < np.median(ratios) < 5
    assert {moments.source for moments in observed.values()} == {"synthetic"}


def test_the_graph_is_left_as_it_was() -> None:
    bare = prepare(read(folded()))
    outputs = [value.name for value in bare.model.graph.outputs]
    observe(bare, input_stats(bare, GIVEN)[0])
    assert [value.name for value in bare.model.graph.outputs] == outputs


def test_quantizing_says_so_and_works() -> None:
    result = spiq.quantize(folded(), GIVEN)
    assert any("no BatchNorm statistics" in note for note in result.report.notes)
    assert not result.report.float_layers
    assert result.report.snr_db["logits"] > 15
    assert not any("no BatchNorm" in n for n in spiq.quantize(model_path(), GIVEN).report.notes)
