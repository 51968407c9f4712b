"""Small networks to be damaged: between them they hold most of what networks are made of.

Sizes are the least that keep every kind of layer, so that thousands of them can be quantized.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.external_data_helper import set_external_data

from spiq.demo import model_path


@dataclass(frozen=True)
class Victim:
    """A network: its content, and that of its external data if it has any (``DATA``)."""

    name: str
    content: bytes
    data: bytes | None = None


DATA = "weights.bin"
"""Where a victim's external data lies, beside its model."""

_NORM = "BatchNormalization"

_RESIDUAL = f"""
    c1 = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1)
    n1 = {_NORM} (c1, g1, b1, m1, v1)  r1 = Relu(n1)
    c2 = Conv <group=8, kernel_shape=[3,3], pads=[1,1,1,1]> (r1, w2)
    n2 = {_NORM} (c2, g2, b2, m2, v2)  r2 = Clip(n2, zero, six)
    c3 = Conv(r2, w3, bias3)
    n3 = {_NORM} (c3, g3, b3, m3, v3)  s = Add(n3, r1)  r3 = Relu(s)
    p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r3)
    cat = Concat <axis=1> (p, p)
    c4 = Conv <strides=[2,2], auto_pad="SAME_UPPER"> (cat, w4)
    n4 = {_NORM} (c4, g4, b4, m4, v4)  l4 = LeakyRelu <alpha=0.1> (n4)
    a = GlobalAveragePool(l4)  f = Flatten <axis=1> (a)
    y = Gemm <transB=1> (f, w5, bias5)
"""

_SHUFFLE = f"""
    t = Transpose <perm=[0,3,1,2]> (x)
    pad = Pad(t, pads)
    c1 = Conv(pad, w1)  n1 = {_NORM} (c1, g1, b1, m1, v1)  r1 = PRelu(n1, slope)
    shape = Shape(r1)  batch = Gather(shape, at0)  first = Unsqueeze(batch, axes0)
    size = Concat <axis=0> (first, split)  wide = Reshape(r1, size)
    turned = Transpose <perm=[0,2,1,3,4]> (wide)  back = Reshape(turned, merged)
    left, right = Split <axis=1> (back)
    c2 = Conv(left, w2)  n2 = {_NORM} (c2, g2, b2, m2, v2)  h2 = HardSwish(n2)
    c3 = Conv(right, w3) n3 = {_NORM} (c3, g3, b3, m3, v3)  e3 = Sigmoid(n3)  s3 = Mul(n3, e3)
    join = Concat <axis=1> (h2, s3)
    pooled = ReduceMean <axes=[2,3], keepdims=1> (join)
    squeeze = Conv(pooled, w4, bias4)  gate = HardSigmoid(squeeze)  scaled = Mul(join, gate)
    cut = Slice(scaled, from, to, along)
    up = Resize <mode="nearest"> (cut, , scales)
    c5 = ConvTranspose <strides=[2,2], kernel_shape=[2,2]> (up, w5)
    n5 = {_NORM} (c5, g5, b5, m5, v5)  y = Identity(n5)
"""

_PLAIN = """
    c1 = Conv <pads=[1,1,1,1]> (x, w1, bias1)  r1 = Relu(c1)
    p1 = AveragePool <kernel_shape=[2,2], strides=[2,2]> (r1)
    c2 = Conv <dilations=[2,2]> (p1, w2, bias2)  d2 = Dropout(c2)
    q = Softmax <axis=1> (d2)  s = Sub(d2, q)
    flat = Reshape(s, rows)  h = MatMul(flat, w3)  y = Add(h, bias3)
"""

_BRANCH = f"""
    c1 = Conv(x, w1)  n1 = {_NORM} (c1, g1, b1, m1, v1)
    k = Constant <value = float[1] {{0.5}}> ()
    top = ReduceMax <keepdims=0> (n1)  high = Greater(top, limit)
    r1 = If (high) <
        then_branch = yes () => (float[N,8,6,6] a) {{ a = Relu(n1) }},
        else_branch = no () => (float[N,8,6,6] b) {{ b = Mul(n1, k) }}
    >
    c2 = Conv(r1, w2)  n2 = {_NORM} (c2, g2, b2, m2, v2)  y = Tanh(n2)
"""


def _array(rng: np.random.Generator, *shape: int) -> np.ndarray:
    fan = int(np.prod(shape[1:])) or 1
    return (rng.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)


def _norms(rng: np.random.Generator, **channels: int) -> dict[str, np.ndarray]:
    arrays = {}
    for number, size in channels.items():
        for key in "gbmv":
            values = rng.uniform(0.5, 1.5, size) if key in "gv" else rng.normal(0, 0.3, size)
            arrays[f"{key}{number[1:]}"] = values.astype(np.float32)
    return arrays


def _build(body: str, inputs: str, opset: int, arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> net ({inputs}) => (float[N,D,H,W] y) '
        f"{{ {body} }}"
    )
    if "Gemm" in body or "MatMul" in body:
        del model.graph.output[0].type.tensor_type.shape.dim[2:]
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    return model


def residual(opset: int = 17) -> onnx.ModelProto:
    """Convolutions of all kinds, a residual sum, pools and a classifier."""
    rng = np.random.default_rng(1)
    arrays = {
        **{"w1": _array(rng, 8, 3, 3, 3), "w2": _array(rng, 8, 1, 3, 3)},
        **{"w3": _array(rng, 8, 8, 1, 1), "bias3": _array(rng, 8), "w4": _array(rng, 16, 16, 3, 3)},
        **{"w5": _array(rng, 10, 16), "bias5": _array(rng, 10)},
        **{"zero": np.float32(0), "six": np.float32(6)},
        **_norms(rng, n1=8, n2=8, n3=8, n4=16),
    }
    return _build(_RESIDUAL, "float[N,3,12,12] x", opset, arrays)


def shuffle() -> onnx.ModelProto:
    """Shape arithmetic, a channel shuffle, squeeze and excitation, resizing."""
    rng = np.random.default_rng(2)
    whole = {
        **{"at0": 0, "axes0": [0], "split": [2, 4, 8, 8], "merged": [0, 8, 8, 8]},
        **{"from": [0, 0], "to": [6, 6], "along": [2, 3], "pads": [0, 0, 1, 1, 0, 0, 1, 1]},
    }
    arrays = {
        **{name: np.array(values, np.int64) for name, values in whole.items()},
        **{"w1": _array(rng, 8, 3, 3, 3), "slope": _array(rng, 8, 1, 1)},
        **{"w2": _array(rng, 4, 4, 1, 1), "w3": _array(rng, 4, 4, 1, 1)},
        **{"w4": _array(rng, 8, 8, 1, 1), "bias4": _array(rng, 8), "w5": _array(rng, 8, 4, 2, 2)},
        **{"scales": np.array([1, 1, 2, 2], np.float32)},
        **_norms(rng, n1=8, n2=4, n3=4, n5=4),
    }
    return _build(_SHUFFLE, "float[N,8,8,3] x", 17, arrays)


def plain() -> onnx.ModelProto:
    """A network without normalization, which is observed on synthetic images."""
    rng = np.random.default_rng(3)
    arrays = {
        **{"w1": _array(rng, 8, 3, 3, 3), "bias1": _array(rng, 8)},
        **{"w2": _array(rng, 8, 8, 3, 3), "bias2": _array(rng, 8)},
        **{"w3": _array(rng, 128, 10), "bias3": _array(rng, 10)},
        **{"rows": np.array([-1, 128], np.int64)},
    }
    return _build(_PLAIN, "float[N,3,16,16] x", 13, arrays)


def branch() -> onnx.ModelProto:
    """A subgraph that reads what is around it, and constants as nodes."""
    rng = np.random.default_rng(4)
    arrays = {
        **{"w1": _array(rng, 8, 3, 3, 3), "w2": _array(rng, 8, 8, 3, 3)},
        **{"limit": np.float32(0), **_norms(rng, n1=8, n2=8)},
    }
    return _build(_BRANCH, "float[N,3,8,8] x", 17, arrays)


def external() -> Victim:
    """The residual network with its larger weights beside it."""
    model, data = residual(), bytearray()
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 256:
            set_external_data(tensor, DATA, offset=len(data), length=len(tensor.raw_data))
            data += tensor.raw_data
            tensor.ClearField("raw_data")
    return Victim("external", model.SerializeToString(), bytes(data))


def victims(zoo: Path | None = None) -> list[Victim]:
    """Return the networks; with a zoo also a published one."""
    old = residual(opset=11)
    old.ir_version = 3
    old.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims)
        for t in old.graph.initializer
    )
    made = {"residual": residual(), "old": old, "shuffle": shuffle(), "plain": plain()}
    made["branch"] = branch()
    found = [Victim(name, model.SerializeToString()) for name, model in made.items()]
    found += [external(), Victim("demo", model_path().read_bytes())]
    published = zoo / "classification" / "resnet8-cifar10" / "model.onnx" if zoo else None
    if published is not None and published.exists():
        found.append(Victim("resnet8-cifar10", published.read_bytes()))
    return found


def stored(victim: Victim, folder: Path) -> Path:
    """Write a network and its data into a folder; return the path of the model."""
    path = folder / "model.onnx"
    path.write_bytes(victim.content)
    if victim.data is not None:
        (folder / DATA).write_bytes(victim.data)
    return path


if __name__ == "__main__":
    from spiq import pipeline

    with tempfile.TemporaryDirectory() as scratch:
        for each in victims():
            report = pipeline.quantize(stored(each, Path(scratch))).report
            print(each.name, len(each.content), report.snr_db, f"{report.seconds:.3f} s")
