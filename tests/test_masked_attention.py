"""Attention whose mask, or whose queries, are made in the graph, beside a batch that is open."""

import numpy as np
import pytest

import spiq
from small_networks import build
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.stats.input_axis import channel_axis

SCORES = (
    "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) t = Transpose<perm=[0,2,1]>(k) "
    "[s] s = MatMul(q, t) "
)
CAUSAL = (
    "n = Shape<start=1>(s) ones = Expand(one, n) low = Trilu<upper=0>(ones) "
    "b = Equal(low, zero) m = Where(b, minus, zero) "
)
LEAST = np.array(np.finfo(np.float32).min)
ATTENDED = "f = Cast<to=1>(mask) i = Sub(one, f) u = Unsqueeze(i, first) m = Mul(u, minus) "
GIVEN = "b = Not(mask) u = Unsqueeze(b, first) m = Where(u, minus, zero) "
SHARES = "a = Add(s, m) p = Softmax<axis=-1>(a) [o] o = MatMul(p, v) [h] y = MatMul(o, wo)"
ONE, ZERO, MINUS = (np.array(number, np.float32) for number in (1, 0, -np.inf))


@pytest.mark.parametrize("mask", [CAUSAL, GIVEN], ids=["causal", "given"])
def test_products_run_on_integers(mask: str) -> None:
    """Scores that are not finite cannot be observed, and what shares multiply stayed in float."""
    beside, first = ("", {}) if mask is CAUSAL else (", bool[N,12] mask", {"first": np.array([1])})
    shapes = {name: (16, 16) for name in ("wq", "wk", "wv", "wo")}
    model = build(
        SCORES + mask + SHARES, inputs=f"float[N,12,16] x{beside}",
        one=ONE, zero=ZERO, minus=MINUS, **first, **shapes,
    )  # fmt: skip
    report = spiq.quantize(model.SerializeToString(), spiq.Config(timing=False)).report
    assert {layer.name for layer in report.layers if layer.quantized} >= {"s", "o", "h"}
    assert not report.float_layers


@pytest.mark.parametrize("sizes", ["N,12", "N,T"], ids=["closed", "open"])
def test_words_that_count_are_told_by_ones(sizes: str) -> None:
    """Hugging Face's mask, (1 - mask) times float32's least number: its variance is not finite."""
    shapes = {name: (16, 16) for name in ("wq", "wk", "wv", "wo")}
    model = build(
        SCORES + ATTENDED + SHARES, inputs=f"float[{sizes},16] x, int64[{sizes}] mask",
        one=ONE, minus=LEAST, first=np.array([1]), **shapes,
    )  # fmt: skip
    report = spiq.quantize(model.SerializeToString(), spiq.Config(timing=False)).report
    assert {layer.name for layer in report.layers if layer.quantized} >= {"s", "o", "h"}
    assert not report.float_layers


def test_a_mask_of_known_sizes_is_computed_before() -> None:
    shapes = {name: (16, 16) for name in ("wq", "wk", "wv", "wo")}
    model = build(
        SCORES + CAUSAL + SHARES, inputs="float[N,12,16] x", one=ONE, zero=ZERO, minus=MINUS,
        **shapes,
    )  # fmt: skip
    kinds = {node.op_type for node in prepare(read(model)).model.graph}
    assert not kinds & {"Expand", "Trilu", "Where"}


def test_queries_that_are_repeated_for_each_of_a_batch() -> None:
    """An Expand of a constant had no statistics, so that the layer behind it stayed in float."""
    body = (
        "n = Shape<start=0,end=1>(x) s = Concat<axis=0>(five, n, width) e = Expand(q, s) "
        "[a] a = MatMul(e, wq) t = Transpose<perm=[1,0,2]>(x) [b] b = MatMul(t, wk) "
        "m = ReduceMean<axes=[0]>(b) [h] y = Add(a, m)"
    )
    sizes = {"five": np.array([5]), "width": np.array([32])}
    model = build(
        body, inputs="float[N,10,8] x", q=(5, 1, 32), wq=(32, 16), wk=(8, 16), **sizes
    ).SerializeToString()
    assert channel_axis(prepare(read(model)).model.graph.inputs[0]) == 2
    report = spiq.quantize(model, spiq.Config(timing=False)).report
    assert not report.float_layers


def test_parts_of_a_bias_are_constants() -> None:
    """PyTorch splits the bias of an attention's three layers through a sequence."""
    body = (
        "s = SplitToSequence<axis=0>(bias, sizes) b0 = SequenceAt(s, i0) b1 = SequenceAt(s, i1) "
        "c = MatMul(x, w) k = Add(c, b0) y = Add(k, b1)"
    )
    model = build(
        body, inputs="float[N,10,8] x", w=(8, 16), bias=np.ones(32, np.float32),
        sizes=np.array([16, 16]), i0=np.array(0), i1=np.array(1),
    )  # fmt: skip
    kinds = [node.op_type for node in prepare(read(model)).model.graph]
    assert "Split" not in kinds and kinds.count("Gemm") == 1
