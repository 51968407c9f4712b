"""Small networks with something wrong in them, of one kind each."""

import numpy as np
import onnx
from onnx import numpy_helper

from small_networks import HIGH, LOW, bn, build, norm, trained

WIDE, CLIPPED = 3, 2


def network(widths: tuple[int, ...] = (16, 16, 16), **range_of: float) -> onnx.ModelProto:
    """Convolutions with BatchNorm and ReLU, a mean over positions, a linear layer."""
    body, constants, source, before = "", {}, "x", 3
    for index, width in enumerate(widths):
        body += f"[c{index}] c{index} = Conv<pads=[1,1,1,1]>({source}, w{index}) "
        body += bn(f"c{index}", f"b{index}") + f"[r{index}] r{index} = Relu(b{index}) "
        constants[f"w{index}"] = (width, before, 3, 3)
        constants |= norm(f"b{index}", width)
        source, before = f"r{index}", width
    body += f"[p] p = GlobalAveragePool({source}) [f] f = Flatten(p) [head] y = Gemm(f, h)"
    constants["h"] = (before, 10)
    return trained(build(body, **constants), **({"low": LOW, "high": HIGH} | range_of))


def with_a_wide_channel() -> onnx.ModelProto:
    """One channel is 60 times as wide as the rest, and counts as much as any other."""
    model = network()
    for name, index, factor in (
        ("b1_g", WIDE, 60.0),
        ("b1_b", WIDE, 60.0),
        ("w2", (slice(None), WIDE), 1 / 60),
    ):
        array = get(model, name)
        array[index] *= factor
        put(model, name, array)
    return trained(model)


def with_a_wide_operand(factor: float = 20.0) -> onnx.ModelProto:
    """The scores of an attention: one channel of the queries is wide, and that of the keys narrow.

    It counts as much as any other, but scales fold into weights, and there are none in between.
    """
    body = "[c] c = Conv<pads=[1,1,1,1]>(x, w) " + bn("c", "b") + "[r] r = Relu(b) "
    for name in ("q", "k"):
        body += f"[{name}] {name} = Conv(r, w{name}) " + bn(name, f"b{name}")
    body += "rq = Reshape(bq, s) t = Transpose<perm=[0,2,1]>(rq) rk = Reshape(bk, s) "
    body += "[product] y = MatMul(t, rk)"
    weights = {"w": (16, 3, 3, 3), "wq": (16, 16, 1, 1), "wk": (16, 16, 1, 1)}
    norms = norm("b", 16) | norm("bq", 16) | norm("bk", 16)
    model = trained(build(body, s=np.array([0, 16, -1]), **weights, **norms))

    for name, by in (("bq", factor), ("bk", 1 / factor)):
        for part in ("g", "b"):
            array = get(model, f"{name}_{part}")
            array[WIDE] *= by
            put(model, f"{name}_{part}", array)
    return model


def with_false_statistics() -> onnx.ModelProto:
    """What the last BatchNorm writes reaches six times as far as it states."""
    model = network()
    put(model, f"b{CLIPPED}_v", get(model, f"b{CLIPPED}_v") / 36)
    return model


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold each BatchNormalization into the convolution in front, as exporters do."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    norms = {n.input[0]: n for n in model.graph.node if n.op_type == "BatchNormalization"}
    del out.graph.node[:]
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            continue
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        after = norms.get(node.output[0])
        if after is not None:
            gamma, beta, mean, var = (get(model, name) for name in after.input[1:5])
            scale = gamma / np.sqrt(var + np.float32(1e-5))
            put(out, node.input[1], get(model, node.input[1]) * scale[:, None, None, None])
            bias = numpy_helper.from_array(beta - mean * scale, f"{node.name}_bias")
            out.graph.initializer.append(bias)
            kept.input.append(bias.name)
            kept.output[0] = after.output[0]
        out.graph.node.append(kept)
    return out


def get(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(_tensor(model, name)).copy()


def put(model: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    _tensor(model, name).CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))


def _tensor(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)
