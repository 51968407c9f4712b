"""One small network of each kind that methods meet."""

from collections.abc import Callable

import numpy as np
import onnx

from small_networks import bn, build, floats, norm, trained, whole

CONV = "Conv<pads=[1,1,1,1]>"


def convolutions() -> onnx.ModelProto:
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) "
        f"[c2] c2 = {CONV}(r1, w2) {bn('c2', 'n2')}[r2] r2 = Relu(n2) [c3] y = Conv(r2, w3)"
    )
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (4, 8, 1, 1)}
    return trained(build(body, **shapes, **norm("n1", 8, spread=30), **norm("n2", 8, spread=30)))


def depthwise(low: float = 0.0, high: float = 6.0) -> onnx.ModelProto:
    """A convolution, a depthwise one and a pointwise one, with ReLU6 between."""
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = Clip(n1, low, high) "
        f"[d] d = Conv<pads=[1,1,1,1],group=8>(r1, wd) {bn('d', 'n2')}[r2] r2 = Clip(n2, low, high)"
        f"[c2] c2 = Conv(r2, w2) {bn('c2', 'n3')}[g] g = GlobalAveragePool(n3) "
        "[f] f = Flatten(g) [o] y = Gemm<transB=1>(f, wo, bo)"
    )
    shapes = {"w1": (8, 3, 3, 3), "wd": (8, 1, 3, 3), "w2": (6, 8, 1, 1), "wo": (5, 6), "bo": (5,)}
    ends = {"low": np.float32(low), "high": np.float32(high)}
    norms = norm("n1", 8, spread=10) | norm("n2", 8, spread=10) | norm("n3", 6)
    return trained(build(body, **shapes, **ends, **norms))


def odd_convolutions() -> onnx.ModelProto:
    """Grouped, dilated, strided, padded on one side; all read one tensor."""
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) "
        "[g] g = Conv<pads=[1,1,1,1],group=2>(r1, wg, bg) "
        "[d] d = Conv<pads=[2,2,2,2],dilations=[2,2]>(r1, wd) "
        "[o] o = Conv<pads=[0,0,1,1],strides=[2,2]>(r1, wo) "
        '[u] u = Resize<mode="nearest">(o, , scales) [a] a = Add(g, d) [b] y = Add(a, u)'
    )
    shapes = {"w1": (8, 3, 3, 3), "wg": (4, 4, 3, 3), "bg": (4,), "wd": (4, 8, 3, 3)}
    more = {"wo": (4, 8, 2, 2), "scales": floats(1, 1, 2, 2)}
    return trained(build(body, **shapes, **more, **norm("n1", 8, spread=10)))


def residual() -> onnx.ModelProto:
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) "
        f"[c2] c2 = {CONV}(r1, w2) {bn('c2', 'n2')}[r2] r2 = Relu(n2) "
        f"[c3] c3 = {CONV}(r2, w3) {bn('c3', 'n3')}[a] a = Add(n3, r1) [r3] r3 = Relu(a) "
        "[k] k = Concat<axis=1>(r3, r1) [c4] y = Conv(k, w4)"
    )
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 3, 3), "w4": (4, 16, 1, 1)}
    norms = norm("n1", 8, spread=10) | norm("n2", 8, spread=10) | norm("n3", 8, spread=10)
    return trained(build(body, **shapes, **norms))


def slopes() -> onnx.ModelProto:
    """PRelu, LeakyRelu and SiLU, and a transposed convolution."""
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = PRelu(n1, slope) "
        f"[c2] c2 = {CONV}(r1, w2) {bn('c2', 'n2')}[r2] r2 = LeakyRelu<alpha=0.1>(n2) "
        f"[c3] c3 = Conv(r2, w3) {bn('c3', 'n3')}[s] s = Sigmoid(n3) [m] m = Mul(s, n3) "
        "[t] t = ConvTranspose<strides=[2,2]>(m, wt) [c4] y = Conv(t, w4)"
    )
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 1, 1), "wt": (8, 4, 2, 2)}
    slope = np.linspace(0.05, 0.4, 8, dtype=np.float32).reshape(8, 1, 1)
    norms = norm("n1", 8) | norm("n2", 8) | norm("n3", 8)
    return trained(build(body, **shapes, w4=(2, 4, 1, 1), slope=slope, **norms))


def gemms() -> onnx.ModelProto:
    body = (
        "[g1] a = Gemm<transB=1>(x, wa, ba) [r1] b = Relu(a) "
        "[g2] c = Gemm<transB=1>(b, wb, bb) [r2] d = Relu(c) [g3] y = MatMul(d, wc)"
    )
    shapes = {"wa": (16, 10), "ba": (16,), "wb": (16, 16), "bb": (16,), "wc": (16, 4)}
    return build(body, inputs="float[N,10] x", **shapes)


def sequence() -> onnx.ModelProto:
    """A MatMul of rank 3 behind a convolution."""
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) [s] s = Reshape(r1, shape) "
        "[t] t = Transpose<perm=[0,2,1]>(s) [mm] y = MatMul(t, wm)"
    )
    model = build(body, w1=(8, 3, 3, 3), wm=(8, 5), shape=whole(0, 8, -1), **norm("n1", 8))
    return trained(model)


def signal() -> onnx.ModelProto:
    """One dimension."""
    body = (
        f"[c1] c1 = Conv<pads=[1,1]>(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) "
        "[c2] y = Conv(r1, w2)"
    )
    model = build(body, inputs="float[2,3,40] x", w1=(8, 3, 3), w2=(4, 8, 1), **norm("n1", 8))
    return trained(model)


def folded() -> onnx.ModelProto:
    """BatchNormalization gone."""
    body = f"[c1] c1 = {CONV}(x, w1, b1) [r1] r1 = Relu(c1) [c2] y = {CONV}(r1, w2, b2)"
    return build(body, w1=(8, 3, 3, 3), b1=(8,), w2=(8, 8, 3, 3), b2=(8,))


def unknown() -> onnx.ModelProto:
    """An operator without a rule for statistics."""
    body = (
        f"[c1] c1 = {CONV}(x, w1) {bn('c1', 'n1')}[r1] r1 = Relu(n1) [s] s = Sin(r1) "
        f"[c2] y = {CONV}(s, w2)"
    )
    return trained(build(body, w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), **norm("n1", 8)))


KINDS: dict[str, Callable[[], onnx.ModelProto]] = {
    made.__name__: made
    for made in (
        convolutions, depthwise, odd_convolutions, residual, slopes, gemms, sequence, signal,
        folded, unknown,
    )
}  # fmt: skip
