"""Small networks: ONNX text, weights of a size that suits them, normalization that fits an input.

``trained`` gives every BatchNormalization the moments that its input has on dead leaves, as
training would; so what a network states of itself is true, and errors are those of rounding.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from spiq import Config, Plan
from spiq.analysis import analyse
from spiq.graph.shapes import infer
from spiq.io.read import read
from spiq.planning.choose.decide import choose, make_plan
from spiq.planning.placement.values import Placement
from spiq.planning.plan.resolve import Resolved, resolve
from spiq.runtime.session import session
from spiq.runtime.synthetic import dead_leaves

LOW, HIGH = -2.118, 2.640
"""Ends of the input range that spiq assumes where nothing tells: ImageNet's normalization."""

Tensors = dict[str, np.ndarray]


def build(
    body: str,
    *,
    inputs: str = "float[N,3,16,16] x",
    outputs: str = "y",
    opset: int = 17,
    seed: int = 0,
    **constants: np.ndarray | tuple[int, ...],
) -> onnx.ModelProto:
    """Build a network; a constant given as a shape gets random numbers, He's size."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> net ({inputs}) => ({outputs}) {{ {body} }}'
    )
    for output in model.graph.output:
        if not output.type.tensor_type.elem_type:
            output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    rng = np.random.default_rng(seed)
    for name, given in constants.items():
        array = he(rng, given) if isinstance(given, tuple) else given
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def changed(model: onnx.ModelProto, change: Callable[[ir.Graph], Any]) -> ir.Model:
    """Return a network as a pass leaves it that is told of shapes."""
    copy = ir.serde.deserialize_model(model)
    infer(copy)
    change(copy.graph)
    return copy


def he(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan = int(np.prod(shape[1:])) or 1
    return (rng.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)


def norm(result: str, channels: int, *, spread: float = 1.0) -> Tensors:
    """Return gamma, beta, mean and var, named ``<result>_g`` ...; gammas span ``spread``."""
    rng = np.random.default_rng([*result.encode()])
    gamma = np.geomspace(1 / spread, 1, channels) * rng.uniform(0.7, 1.3, channels)
    rng.shuffle(gamma)
    beta = gamma * rng.uniform(-0.5, 1, channels)
    arrays = (gamma, beta, np.zeros(channels), np.ones(channels))
    return {f"{result}_{k}": a.astype(np.float32) for k, a in zip("gbmv", arrays, strict=True)}


def bn(source: str, result: str) -> str:
    """Return the node that goes with :func:`norm`."""
    r = result
    return f"[{r}] {r} = BatchNormalization({source}, {r}_g, {r}_b, {r}_m, {r}_v) "


def trained(
    model: onnx.ModelProto, images: int = 8, low: float = LOW, high: float = HIGH
) -> onnx.ModelProto:
    """Give each BatchNormalization the moments of its input on dead leaves, in place."""
    feed = images_for(model, images, low, high)
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            continue
        x = run(model, feed, outputs=[node.input[0]])[node.input[0]]
        axes = (0, *range(2, x.ndim))
        for name, moment in zip(node.input[3:5], (x.mean(axes), x.var(axes)), strict=True):
            array = moment.astype(np.float32)
            arrays[name].CopyFrom(numpy_helper.from_array(array, name))
    return model


def images_for(
    model: onnx.ModelProto, images: int = 8, low: float = LOW, high: float = HIGH
) -> Tensors:
    """Return dead leaves for each input that takes images; one at a time if its batch is fixed."""
    feed = {}
    for index, value in enumerate(model.graph.input):
        shape = [dim.dim_value or 16 for dim in value.type.tensor_type.shape.dim]
        if not value.type.tensor_type.shape.dim[0].dim_value:
            shape[0] = images
        if len(shape) == 4:
            array = low + (high - low) * dead_leaves(shape, seed=index, discs=40)
        else:
            array = np.random.default_rng(index).uniform(low, high, shape)
        feed[value.name] = array.astype(np.float32)
    return feed


def run(
    model: onnx.ModelProto | bytes,
    feed: Tensors,
    *,
    outputs: list[str] | None = None,
    optimize: bool = True,
) -> Tensors:
    """Run a network; ``outputs`` may name any of its float tensors."""
    if outputs is not None:
        proto = onnx.ModelProto()
        proto.CopyFrom(onnx.load_from_string(model) if isinstance(model, bytes) else model)
        del proto.graph.output[:]
        for name in outputs:
            proto.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
        model = proto
    plain = model if isinstance(model, bytes) else model.SerializeToString()
    opened = session(plain, threads=1, optimize=optimize)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, feed), strict=True))


def optimized(model: bytes) -> Counter[str]:
    """Return the operators of a network as ONNX Runtime runs it, copies of layout left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        session(model, threads=1, optimized_path=path)
        graph = onnx.load(path).graph
    found = Counter(node.op_type for node in graph.node)
    for layout in ("Transpose", "ReorderInput", "ReorderOutput"):
        found.pop(layout, None)
    return found


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def resolved_of(
    model: onnx.ModelProto, config: Config | None = None
) -> tuple[Plan, Placement, Resolved]:
    """Return the plan of a network, the placement that it is for, and what both mean."""
    made, placement, _ = planned(model, config)
    return made, placement, resolve(made, placement)


def planned(
    model: onnx.ModelProto, config: Config | None = None
) -> tuple[Plan, Placement, ir.Graph]:
    """Return the plan of a network, its placement, and the prepared graph."""
    config = config or Config()
    known = analyse(read(model), config)
    graph, measured = known.graph, known.measured
    next_names = known.prepared.next_names
    chosen = choose(graph, measured, known.importance, config, next_names=next_names)
    made = make_plan(graph, measured, chosen, config, model_hash="", version="")
    return made, chosen.placement, graph
