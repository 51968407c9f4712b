"""A model of ONNX's backend tests with a layer in front of it and one behind it.

Of images that is a 1x1 Conv and a BatchNormalization, of anything else a MatMul. The weights are
random and keep the shape; the statistics are those of the test's inputs (``backend_values.draws``),
and gamma and beta undo them, so that they are true and the operator between meets numbers of the
size that it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from backend_values import Feeds, draws

EPSILON = 1e-5


@dataclass(frozen=True)
class Variant:
    """One model to try, and an input for it as far as it is made of tensors."""

    name: str
    model: bytes
    feeds: Feeds


@dataclass(frozen=True)
class Layer:
    """Weights and nodes of a layer, and what it makes of each array that it is shown."""

    parts: list[onnx.NodeProto | onnx.TensorProto]
    made: list[np.ndarray]


def between_layers(variant: Variant) -> Variant | None:
    """Return the variant with a layer in front and one behind; None where it cannot have them."""
    model = onnx.ModelProto.FromString(variant.model)
    graph, (name, *others) = model.graph, variant.feeds or [""]
    opset = max((one.version for one in model.opset_import if not one.domain), default=0)
    entry = variant.feeds.get(name)
    if others or opset < 13 or not _takes_layers(entry) or not graph.output:
        return None
    end = graph.output[0].name
    front = layer("front", [fed[name] for fed in draws(variant.feeds)], "x_in", name)
    found = [one for one in _results(variant.model, end, name, front.made) if one is not None]
    if not found:  # not for want of quantization
        return None

    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("x_in", 1, entry.shape))
    nodes = [*front.parts, *graph.node]
    if _takes_layers(found[0]):
        nodes += layer("behind", found, end, "y_out").parts
        graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y_out", 1, found[0].shape))
    del graph.node[:]
    graph.node.extend(node for node in nodes if isinstance(node, onnx.NodeProto))
    graph.initializer.extend(node for node in nodes if isinstance(node, onnx.TensorProto))
    return Variant(f"{variant.name} between layers", model.SerializeToString(), {"x_in": entry})


def _takes_layers(array: object) -> bool:
    floats = isinstance(array, np.ndarray) and array.dtype == np.float32
    return floats and array.ndim >= 2 and array.size > 0


def _results(
    model: bytes, end: str, name: str, shown: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Return what a model makes of each array, None where it does not run."""
    found: list[np.ndarray | None] = []
    try:
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception:
        return found
    for one in shown:
        try:
            found.append(session.run([end], {name: one})[0])
        except Exception:
            found.append(None)
    return found


def layer(name: str, shown: Sequence[np.ndarray], source: str, result: str) -> Layer:
    """Return a layer from ``source`` to ``result`` that keeps the shape of what it is shown."""
    axis = 1 if shown[0].ndim == 4 else shown[0].ndim - 1
    rng, size = np.random.default_rng(0), shown[0].shape[axis]
    weight = (rng.standard_normal((size, size)) / np.sqrt(size)).astype(np.float32)
    if axis != 1 or shown[0].ndim == 2:
        matrix = numpy_helper.from_array(weight, f"{name}_w")
        node = onnx.helper.make_node("MatMul", [source, f"{name}_w"], [result])
        return Layer([matrix, node], [one @ weight for one in shown])

    made = [np.einsum("oc,nchw->nohw", weight, one) for one in shown]
    fitting = [one for one in made if np.isfinite(one).all()] or [0 * made[0] + 1]
    flat = np.concatenate([one.swapaxes(0, 1).reshape(size, -1) for one in fitting], axis=1)
    mean, variance = flat.mean(axis=1), flat.var(axis=1)
    gamma = np.sqrt(variance + EPSILON)
    constants = {"w": weight[:, :, None, None], "g": gamma, "b": mean, "m": mean, "v": variance}
    floats = {key: value.astype(np.float32) for key, value in constants.items()}
    norm = [f"{name}_{key}" for key in "gbmv"]
    nodes = [
        onnx.helper.make_node("Conv", [source, f"{name}_w"], [f"{name}_y"]),
        onnx.helper.make_node("BatchNormalization", [f"{name}_y", *norm], [result]),
    ]
    weights = [numpy_helper.from_array(value, f"{name}_{key}") for key, value in floats.items()]
    return Layer([*weights, *nodes], made)
