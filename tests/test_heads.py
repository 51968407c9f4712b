"""Heads of attention that lie beside the batch, as in BoTNet: end to end with an open batch."""

import numpy as np
import pytest

from small_networks import bn, build, images_for, norm, run, trained, whole
from spiq import Config, quantize
from spiq.runtime.snr import snr_db


@pytest.mark.end_to_end
def test_maps_are_cut_into_heads_and_joined_again() -> None:
    """(B, 4 x 8, 16, 16) -> (4 B, 8, 256) -> (B, 4 x 8, 16, 16), of unknown B."""
    body = (
        f"[c] c = Conv<pads=[1,1,1,1]>(x, w1) {bn('c', 'n')}[r] r = Relu(n) "
        "[h] h = Reshape(r, heads) [t] t = Transpose<perm=[0,2,1]>(h) "
        "[l] l = MatMul(t, h) [s] s = Softmax<axis=-1>(l) [v] v = MatMul(s, t) "
        "[u] u = Transpose<perm=[0,2,1]>(v) [m] m = Reshape(u, maps) [y] y = Conv(m, w2)"
    )
    heads, maps = whole(-1, 8, 256), whole(-1, 32, 16, 16)
    weights = {"w1": (32, 3, 3, 3), "w2": (8, 32, 1, 1), **norm("n", 32)}
    model = trained(build(body, heads=heads, maps=maps, **weights))
    result = quantize(model, Config(input_range=((-2.118, 2.640),)))
    assert not [layer.name for layer in result.report.float_layers if layer.parameters]
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 20
    assert np.isfinite(result.report.snr_db["y"])


@pytest.mark.end_to_end
@pytest.mark.parametrize("pool", ["GlobalMaxPool(r)", "ReduceMax<axes=[2,3], keepdims=1>(r)"])
def test_the_largest_of_a_map_by_either_name(pool: str) -> None:
    """Largest numbers differ from picture to picture: by ReduceMax they were taken for alike."""
    body = (
        f"[c] c = Conv<pads=[1,1,1,1]>(x, w1) {bn('c', 'n')}[r] r = Relu(n) [p] p = {pool} "
        "[f] f = Flatten(p) [h] h = Gemm<transB=1>(f, w2) [a] a = Relu(h) "
        "[y] y = Gemm<transB=1>(a, w3)"
    )
    weights = {"w1": (24, 3, 3, 3), "w2": (32, 24), "w3": (8, 32), **norm("n", 24)}
    model = trained(build(body, inputs="float[N,3,32,32] x", **weights), 32)
    made = quantize(model, Config(input_range=((-2.118, 2.640),), timing=False)).model
    feed = images_for(model, 32)
    assert snr_db(run(model, feed)["y"], run(made, feed)["y"]) > 30
