"""An ONNX network under construction, whose normalizations state true statistics.

Data-free quantization reads the statistics of each BatchNormalization, so a `Net` runs every node
it adds on a few images, and a BatchNormalization takes the mean and variance of what arrives:

    y = gamma * (x - E[x]) / sqrt(Var[x] + eps) + beta,  gamma ~ U(0.5, 1.5),  beta ~ N(0, 0.3^2)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spiq.runtime.session import session

OPSET = 17
IR_VERSION = 8
CLASSES = 1000
EPSILON = 1e-5
LOGIT_STD = 2.0


@dataclass(frozen=True)
class Tensor:
    """A named tensor of the graph and its value on the sample images."""

    name: str
    value: np.ndarray

    @property
    def channels(self) -> int:
        """Size of axis 1."""
        return int(self.value.shape[1])


class Net:
    """An ONNX graph under construction; every node runs once, when it is added."""

    def __init__(self, images: np.ndarray, seed: int):
        self.rng = np.random.default_rng(seed)
        self.input = Tensor("input", images)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(
        self,
        op: str,
        *inputs: Tensor,
        weights: dict[str, np.ndarray] | None = None,
        **attributes: object,
    ) -> Tensor:
        """Append a node; `weights` are its further inputs, in order, as initializers."""
        name = f"{op.lower()}_{len(self.nodes)}"
        constants = [
            numpy_helper.from_array(array, f"{name}.{key}")
            for key, array in (weights or {}).items()
        ]
        names = [tensor.name for tensor in inputs] + [constant.name for constant in constants]
        node = helper.make_node(op, names, [f"{name}.out"], name=name, **attributes)
        self.nodes.append(node)
        self.weights.extend(constants)
        return Tensor(f"{name}.out", _run(node, inputs, constants))

    def conv(
        self, x: Tensor, channels: int, kernel: int, stride: int = 1, group: int = 1
    ) -> Tensor:
        """Convolution with He weights, "same" padding and no bias."""
        shape = (channels, x.channels // group, kernel, kernel)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights = {"weight": (self.rng.standard_normal(shape) * scale).astype(np.float32)}
        return self.add("Conv", x, weights=weights, **window(kernel, stride), group=group)

    def norm(self, x: Tensor) -> Tensor:
        """BatchNormalization whose statistics are those of its input on the sample images."""
        weights = {
            "gamma": self.rng.uniform(0.5, 1.5, x.channels),
            "beta": self.rng.normal(0, 0.3, x.channels),
            "mean": x.value.mean((0, 2, 3), dtype=np.float64),
            "var": x.value.var((0, 2, 3), dtype=np.float64),
        }
        weights = _floats(weights)
        return self.add("BatchNormalization", x, weights=weights, epsilon=EPSILON)

    def relu(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return self.add("Relu", x)

    def relu6(self, x: Tensor) -> Tensor:
        """min(max(x, 0), 6), a Clip as exporters write it."""
        bounds = {"min": np.array(0, np.float32), "max": np.array(6, np.float32)}
        return self.add("Clip", x, weights=bounds)

    def silu(self, x: Tensor) -> Tensor:
        """Sigmoid-weighted linear unit, x * sigmoid(x), as two nodes."""
        return self.add("Mul", x, self.add("Sigmoid", x))

    def hardswish(self, x: Tensor) -> Tensor:
        """HardSwish, x clip(x / 6 + 1 / 2, 0, 1), as exporters write it."""
        return self.add("HardSwish", x)

    def squeeze_excite(self, x: Tensor, squeezed: int) -> Tensor:
        """Channel attention: x * sigmoid(conv(silu(conv(mean(x)))))."""
        gate = self.silu(self._biased_conv(self.add("GlobalAveragePool", x), squeezed))
        return self.add("Mul", x, self.add("Sigmoid", self._biased_conv(gate, x.channels)))

    def hard_squeeze_excite(self, x: Tensor, squeezed: int) -> Tensor:
        """The same with x * hardsigmoid(conv(relu(conv(mean(x)))))."""
        gate = self.relu(self._biased_conv(self.add("GlobalAveragePool", x), squeezed))
        gate = self.add("HardSigmoid", self._biased_conv(gate, x.channels), alpha=1 / 6, beta=0.5)
        return self.add("Mul", x, gate)

    def _biased_conv(self, x: Tensor, channels: int) -> Tensor:
        weight = self.rng.standard_normal((channels, x.channels, 1, 1)) / np.sqrt(x.channels)
        bias = self.rng.normal(0, 0.3, channels)
        weights = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
        return self.add("Conv", x, weights=weights, **window(1, 1))

    def head(self, x: Tensor) -> Tensor:
        """Pool and classify."""
        return self.classify(self.pooled(x))

    def pooled(self, x: Tensor) -> Tensor:
        """The mean of each channel."""
        return self.add("Flatten", self.add("GlobalAveragePool", x), axis=1)

    def gemm(self, x: Tensor, size: int) -> Tensor:
        """A linear layer of features (N, C)."""
        weight = self.rng.standard_normal((size, x.channels)) / np.sqrt(x.channels)
        weights = {"weight": weight, "bias": self.rng.normal(0, 0.3, size)}
        return self.add("Gemm", x, weights=_floats(weights), transB=1)

    def classify(self, features: Tensor) -> Tensor:
        """Classify features (N, C); the logits have mean 0 and a fixed deviation over images."""
        weight = self.rng.standard_normal((CLASSES, features.channels))
        logits = features.value.astype(np.float64) @ weight.T
        gain = LOGIT_STD / logits.std(axis=0).mean()
        bias = -gain * logits.mean(axis=0)
        weights = {
            "weight": (gain * weight).astype(np.float32),
            "bias": bias.astype(np.float32),
        }
        return self.add("Gemm", features, weights=weights, transB=1)

    def model(self, name: str) -> onnx.ModelProto:
        """The checked model that ends at the last node; (batch, 3, 224, 224) to (batch, 1000)."""
        self.nodes[-1].output[0] = "logits"
        shape_in, shape_out = ["batch", *self.input.value.shape[1:]], ["batch", CLASSES]
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape_in)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape_out)],
            self.weights,
        )
        model = _model(graph)
        onnx.checker.check_model(model, full_check=True)
        return model


def _floats(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: array.astype(np.float32) for key, array in weights.items()}


def window(kernel: int, stride: int, pad: int | None = None) -> dict[str, object]:
    pad = kernel // 2 if pad is None else pad
    return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="spiq-bench",
    )


def _run(
    node: onnx.NodeProto, inputs: tuple[Tensor, ...], constants: list[onnx.TensorProto]
) -> np.ndarray:
    graph = helper.make_graph(
        [node],
        "one_node",
        [
            helper.make_tensor_value_info(
                tensor.name,
                helper.np_dtype_to_tensor_dtype(tensor.value.dtype),
                tensor.value.shape,
            )
            for tensor in inputs
        ],
        [helper.make_empty_tensor_value_info(node.output[0])],
        constants,
    )
    opened = session(_model(graph).SerializeToString(), threads=1)
    return opened.run(None, {tensor.name: tensor.value for tensor in inputs})[0]
