"""Small networks of tokens: a vision transformer, a mixer and a ConvNeXt, in ONNX text."""

import numpy as np
import onnx

from small_networks import build, floats, whole

LAYER_NORM = "LayerNormalization<axis=-1>"


def _layer_norm(name: str, channels: int, *, spread: float = 4.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([*name.encode()])
    gamma = np.exp(rng.normal(0, np.log(spread) / 2, channels)).astype(np.float32)
    return {f"{name}_g": gamma, f"{name}_b": rng.normal(0, 0.3, channels).astype(np.float32)}


def _matrix(name: str, rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng([*name.encode()])
    return (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)


def _mlp(source: str, name: str, result: str) -> str:
    n = name
    return (
        f"[{n}_m1] {n}_m1 = MatMul({source}, {n}_w1) [{n}_a1] {n}_a1 = Add({n}_m1, {n}_c1) "
        f"[{n}_e] {n}_e = Gelu({n}_a1) [{n}_m2] {n}_m2 = MatMul({n}_e, {n}_w2) "
        f"[{result}] {result} = Add({n}_c2, {n}_m2) "
    )


def _mlp_weights(name: str, channels: int, hidden: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([*name.encode(), 1])
    return {
        f"{name}_w1": _matrix(f"{name}1", channels, hidden),
        f"{name}_c1": rng.normal(0, 0.2, hidden).astype(np.float32),
        f"{name}_w2": _matrix(f"{name}2", hidden, channels),
        f"{name}_c2": rng.normal(0, 0.2, channels).astype(np.float32),
    }


def transformer(channels: int = 32, heads: int = 4) -> onnx.ModelProto:
    """Patches, a class token and positions; attention of all tokens; an MLP; a head."""
    body = (
        "[p] p = Conv<strides=[4,4]>(x, wp, bp) [f] f = Reshape(p, flat) "
        "[t] t = Transpose<perm=[0,2,1]>(f) [c] c = Concat<axis=1>(cls, t) [s] s = Add(c, pos) "
        f"[n1] n1 = {LAYER_NORM}(s, n1_g, n1_b) "
        "[qkv] qkv = MatMul(n1, wqkv) [qkvb] qkvb = Add(qkv, bqkv) "
        "[r] r = Reshape(qkvb, split) [rt] rt = Transpose<perm=[2,0,3,1,4]>(r) "
        "[q] q = Gather<axis=0>(rt, i0) [k] k = Gather<axis=0>(rt, i1) "
        "[v] v = Gather<axis=0>(rt, i2) [kt] kt = Transpose<perm=[0,1,3,2]>(k) "
        "[qs] qs = Mul(q, scale) [l] l = MatMul(qs, kt) [sm] sm = Softmax<axis=-1>(l) "
        "[o] o = MatMul(sm, v) [ot] ot = Transpose<perm=[0,2,1,3]>(o) [j] j = Reshape(ot, join) "
        "[pr] pr = MatMul(j, wo) [a1] a1 = Add(pr, s) "
        f"[n2] n2 = {LAYER_NORM}(a1, n2_g, n2_b) {_mlp('n2', 'm', 'mo')}[a2] a2 = Add(mo, a1) "
        f"[n3] n3 = {LAYER_NORM}(a2, n3_g, n3_b) [g] g = Gather<axis=1>(n3, i0) "
        "[y] y = Gemm<transB=1>(g, wh, bh)"
    )
    rng = np.random.default_rng(5)
    return build(
        body,
        inputs="float[1,3,16,16] x",
        opset=20,
        wp=(channels, 3, 4, 4),
        bp=(channels,),
        flat=whole(0, channels, -1),
        cls=rng.standard_normal((1, 1, channels)).astype(np.float32),
        pos=rng.normal(0, 0.3, (1, 17, channels)).astype(np.float32),
        wqkv=_matrix("qkv", channels, 3 * channels),
        bqkv=rng.normal(0, 0.2, 3 * channels).astype(np.float32),
        split=whole(0, 0, 3, heads, channels // heads),
        i0=np.array(0, np.int64),
        i1=np.array(1, np.int64),
        i2=np.array(2, np.int64),
        scale=floats((channels / heads) ** -0.5),
        join=whole(0, 0, channels),
        wo=_matrix("o", channels, channels),
        wh=(10, channels),
        bh=(10,),
        **_layer_norm("n1", channels),
        **_layer_norm("n2", channels),
        **_layer_norm("n3", channels),
        **_mlp_weights("m", channels, 4 * channels),
    )


def mixer(channels: int = 24, batch: str = "N") -> onnx.ModelProto:
    """Layers over the patches, then over the channels, then the mean of all."""
    body = (
        "[p] p = Conv<strides=[4,4]>(x, wp, bp) [f] f = Reshape(p, flat) "
        "[t] t = Transpose<perm=[0,2,1]>(f) "
        f"[n1] n1 = {LAYER_NORM}(t, n1_g, n1_b) [u] u = Transpose<perm=[0,2,1]>(n1) "
        f"{_mlp('u', 'a', 'ao')}[v] v = Transpose<perm=[0,2,1]>(ao) [s1] s1 = Add(t, v) "
        f"[n2] n2 = {LAYER_NORM}(s1, n2_g, n2_b) {_mlp('n2', 'm', 'mo')}[s2] s2 = Add(mo, s1) "
        f"[n3] n3 = {LAYER_NORM}(s2, n3_g, n3_b) [g] g = ReduceMean<keepdims=0>(n3, axis) "
        "[y] y = Gemm<transB=1>(g, wh, bh)"
    )
    return build(
        body,
        inputs=f"float[{batch},3,16,16] x",
        opset=20,
        wp=(channels, 3, 4, 4),
        bp=(channels,),
        flat=whole(0, channels, -1),
        axis=whole(1),
        wh=(10, channels),
        bh=(10,),
        **_layer_norm("n1", channels),
        **_layer_norm("n2", channels),
        **_layer_norm("n3", channels),
        **_mlp_weights("a", 16, 32),
        **_mlp_weights("m", channels, 4 * channels),
    )


def windows(channels: int = 24) -> onnx.ModelProto:
    """Patches of 7 x 7, padded to 8 x 8, shifted by 2, cut into windows of 4 x 4, and back."""
    body = (
        "[p] p = Conv<strides=[2,2]>(x, wp, bp) [t] t = Transpose<perm=[0,2,3,1]>(p) "
        f"[n1] n1 = {LAYER_NORM}(t, n1_g, n1_b) [e] e = Pad(n1, pads) "
        "[a] a = Slice(e, two, far, one) [b] b = Slice(e, zero, two, one) "
        "[ab] ab = Concat<axis=1>(a, b) [c] c = Slice(ab, two, far, twice) "
        "[d] d = Slice(ab, zero, two, twice) [cd] cd = Concat<axis=2>(c, d) "
        "[w] w = Reshape(cd, cut) [wt] wt = Transpose<perm=[0,1,3,2,4,5]>(w) "
        f"[r] r = Reshape(wt, tokens) {_mlp('r', 'm', 'mo')}"
        "[v] v = Reshape(mo, cut) [vt] vt = Transpose<perm=[0,1,3,2,4,5]>(v) "
        "[u] u = Reshape(vt, whole) [g] g = ReduceMean<keepdims=0>(u, space) "
        "[y] y = Gemm<transB=1>(g, wh, bh)"
    )
    return build(
        body,
        inputs="float[1,3,14,14] x",
        opset=20,
        wp=(channels, 3, 2, 2),
        bp=(channels,),
        pads=whole(0, 0, 0, 0, 0, 1, 1, 0),
        zero=whole(0),
        one=whole(1),
        two=whole(2),
        twice=whole(2),
        far=whole(99),
        cut=whole(1, 2, 4, 2, 4, channels),
        tokens=whole(4, 16, channels),
        whole=whole(1, 8, 8, channels),
        space=whole(1, 2),
        wh=(10, channels),
        bh=(10,),
        **_layer_norm("n1", channels),
        **_mlp_weights("m", channels, 4 * channels),
    )


def convnext(channels: int = 24, blocks: int = 2) -> onnx.ModelProto:
    """Depthwise convolutions, layers channels last, a factor per channel, residual sums."""
    body = "[stem] x0 = Conv<strides=[2,2]>(x, wp, bp) "
    more: dict[str, np.ndarray] = {}
    for k in range(blocks):
        body += (
            f"[d{k}] d{k} = Conv<pads=[3,3,3,3],group={channels}>(x{k}, wd{k}, bd{k}) "
            f"[t{k}] t{k} = Transpose<perm=[0,2,3,1]>(d{k}) "
            f"[n{k}] n{k} = {LAYER_NORM}(t{k}, n{k}_g, n{k}_b) {_mlp(f'n{k}', f'm{k}', f'o{k}')}"
            f"[u{k}] u{k} = Transpose<perm=[0,3,1,2]>(o{k}) [f{k}] f{k} = Mul(factor{k}, u{k}) "
            f"[s{k}] x{k + 1} = Add(f{k}, x{k}) "
        )
        rng = np.random.default_rng(k)
        more[f"wd{k}"] = rng.normal(0, 0.2, (channels, 1, 7, 7)).astype(np.float32)
        more[f"bd{k}"] = rng.normal(0, 0.2, channels).astype(np.float32)
        more[f"factor{k}"] = rng.uniform(0.1, 1, (channels, 1, 1)).astype(np.float32)
        more |= _layer_norm(f"n{k}", channels) | _mlp_weights(f"m{k}", channels, 4 * channels)
    body += (
        f"[p] p = GlobalAveragePool(x{blocks}) [l] l = Flatten(p) [y] y = Gemm<transB=1>(l, wh, bh)"
    )
    return build(
        body,
        inputs="float[N,3,16,16] x",
        opset=20,
        wp=(channels, 3, 2, 2),
        bp=(channels,),
        wh=(10, channels),
        bh=(10,),
        **more,
    )
