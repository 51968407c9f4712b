"""Whether BatchNormalization was there once: only then is there a file to export again."""

from collections.abc import Callable

import onnx
import pytest

from small_networks import build
from spiq import Config, quantize
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.lost_norms import may_have_had_batchnorm
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
