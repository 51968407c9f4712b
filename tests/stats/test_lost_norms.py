"""Whether BatchNormalization was there once: only then is there a file to export again."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq import Config, quantize
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.inputs.first_layers import first_layers
from spiq.stats.lost_norms import has_norms, may_have_had_batchnorm
from transformers import convnext, mixer, transformer, windows

SHAPES = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,)}


def folded() -> onnx.ModelProto:
    return build("[a] a = Conv(x, w1, b1) [r] r = Relu(a) [y] y = Conv(r, w2, b2)", **SHAPES)


@pytest.mark.parametrize("network", [transformer, mixer, convnext, windows])
def test_transformers_had_none(network: Callable[[], onnx.ModelProto]) -> None:
    assert not may_have_had_batchnorm(prepare(read(network())).model.graph)


def test_convolutions_with_a_bias_may_have_had_it() -> None:
    assert may_have_had_batchnorm(prepare(read(folded())).model.graph)


def test_without_biases_there_was_nothing_to_fold() -> None:
    body = "[a] a = Conv(x, w1) [r] r = Relu(a) [y] y = Conv(r, w2)"
    shapes = {name: SHAPES[name] for name in ("w1", "w2")}
    assert not may_have_had_batchnorm(prepare(read(build(body, **shapes))).model.graph)


def test_only_those_who_can_are_told_to_export_again() -> None:
    options = Config(input_range=((-2.118, 2.640),))
    notes = [" ".join(quantize(one, options).report.notes) for one in (transformer(), folded())]
    assert ["observed on synthetic images" in note for note in notes] == [True, True]
    assert ["BatchNorm kept" in note for note in notes] == [False, True]


SPELLED = (
    "[a] a = Conv(x, w1, b1) [m] m = ReduceMean<axes=[1]>(a) [d] d = Sub(a, m) [q] q = Mul(d, d) "
    "[v] v = ReduceMean<axes=[1]>(q) [e] e = Add(v, eps) [s] s = Sqrt(e) {0} "
    "[r] r = Relu(n) [y] y = Conv(r, w2, b2)"
)
FORMS = {
    "divided": "[n] n = Div(d, s)",
    "times the inverse": "[i] i = Reciprocal(s) [n] n = Mul(d, i)",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_norm_that_is_spelled_out_is_one(form: str) -> None:
    """Biases in front of it say nothing of the pixels' scale: it takes that away."""
    body, eps = SPELLED.format(FORMS[form]), np.array(1e-6, np.float32)
    prepared = prepare(read(build(body, eps=eps, **SHAPES)))
    assert has_norms(prepared.model.graph)
    layers = first_layers(prepared.model.graph.inputs[0], prepared)
    assert layers and not any(layer.biased for layer in layers)


def test_a_division_by_something_else_is_none() -> None:
    body = "[a] a = Conv(x, w1, b1) [s] s = Sqrt(two) [n] n = Div(a, s) [y] y = Conv(n, w2, b2)"
    graph = prepare(read(build(body, two=np.array(2, np.float32), **SHAPES))).model.graph
    assert not has_norms(graph)
