"""Write well-known ImageNet networks with seeded random weights as ONNX files.

Speed, file size and the handling of large graphs do not depend on trained weights, so these
networks need no download. Topologies follow torchvision 0.2x as it exports them: ResNet-50
(stride in the 3x3 convolution), DenseNet-121 (every layer concatenates all earlier features of
its block), MobileNetV2 (ReLU6) and EfficientNet-B0 (SiLU, squeeze and excitation).

Data-free quantization reads the statistics of each BatchNormalization, so they must be true:
a `Net` runs every node it adds on a few dead-leaves images, and a BatchNormalization takes the
mean and variance of what really arrives:

    y = gamma * (x - E[x]) / sqrt(Var[x] + eps) + beta,  gamma ~ U(0.5, 1.5),  beta ~ N(0, 0.3^2)

Usage: python bench/networks.py OUTDIR [resnet50 densenet121 mobilenetv2 efficientnet_b0]
writes OUTDIR/<network>/float.onnx.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spiq.runtimes.onnxruntime import session
from spiq.runtimes.synthetic import dead_leaves

OPSET = 17
IR_VERSION = 8
SIZE = 224
CLASSES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, of values from 0 to 1: what these networks' inputs are normalized with."""

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
        return self.add("Conv", x, weights=weights, **_window(kernel, stride), group=group)

    def norm(self, x: Tensor) -> Tensor:
        """BatchNormalization whose statistics are those of its input on the sample images."""
        weights = {
            "gamma": self.rng.uniform(0.5, 1.5, x.channels),
            "beta": self.rng.normal(0, 0.3, x.channels),
            "mean": x.value.mean((0, 2, 3), dtype=np.float64),
            "var": x.value.var((0, 2, 3), dtype=np.float64),
        }
        weights = {key: array.astype(np.float32) for key, array in weights.items()}
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

    def squeeze_excite(self, x: Tensor, squeezed: int) -> Tensor:
        """Channel attention: x * sigmoid(conv(silu(conv(mean(x)))))."""
        gate = self.silu(self._biased_conv(self.add("GlobalAveragePool", x), squeezed))
        return self.add("Mul", x, self.add("Sigmoid", self._biased_conv(gate, x.channels)))

    def _biased_conv(self, x: Tensor, channels: int) -> Tensor:
        weight = self.rng.standard_normal((channels, x.channels, 1, 1)) / np.sqrt(x.channels)
        bias = self.rng.normal(0, 0.3, channels)
        weights = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
        return self.add("Conv", x, weights=weights, **_window(1, 1))

    def head(self, x: Tensor) -> Tensor:
        """Pool and classify; the logits have mean 0 and a fixed deviation over the images."""
        features = self.add("Flatten", self.add("GlobalAveragePool", x), axis=1)
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


def _window(kernel: int, stride: int, pad: int | None = None) -> dict[str, object]:
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
            helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.value.shape)
            for tensor in inputs
        ],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)],
        constants,
    )
    opened = session(_model(graph).SerializeToString(), threads=1)
    return opened.run(None, {tensor.name: tensor.value for tensor in inputs})[0]


def sample_images(count: int, *, seed: int = 0) -> np.ndarray:
    """Dead-leaves images, normalized as for ImageNet: float32, (count, 3, 224, 224)."""
    shape = (-1, 1, 1)
    mean, std = np.array(MEAN, np.float32).reshape(shape), np.array(STD, np.float32).reshape(shape)
    return (dead_leaves((count, 3, SIZE, SIZE), seed=seed) - mean) / std


def resnet50(net: Net) -> Tensor:
    x = net.relu(net.norm(net.conv(net.input, 64, 7, stride=2)))
    x = net.add("MaxPool", x, **_window(3, 2))
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            y = net.relu(net.norm(net.conv(x, width, 1)))
            y = net.relu(net.norm(net.conv(y, width, 3, stride)))
            y = net.norm(net.conv(y, 4 * width, 1))
            shortcut = net.norm(net.conv(x, 4 * width, 1, stride)) if block == 0 else x
            x = net.relu(net.add("Add", y, shortcut))
    return net.head(x)


def densenet121(net: Net, growth: int = 32) -> Tensor:
    x = net.relu(net.norm(net.conv(net.input, 2 * growth, 7, stride=2)))
    x = net.add("MaxPool", x, **_window(3, 2))
    for index, layers in enumerate((6, 12, 24, 16)):
        if index > 0:
            x = net.conv(net.relu(net.norm(x)), x.channels // 2, 1)
            x = net.add("AveragePool", x, **_window(2, 2, pad=0))
        features = [x]
        for _ in range(layers):
            y = net.conv(net.relu(net.norm(x)), 4 * growth, 1)
            features.append(net.conv(net.relu(net.norm(y)), growth, 3))
            x = net.add("Concat", *features, axis=1)
    return net.head(net.relu(net.norm(x)))


def mobilenetv2(net: Net) -> Tensor:
    stages = (
        # expansion, channels, blocks, stride of the first block
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    x = net.relu6(net.norm(net.conv(net.input, 32, 3, stride=2)))
    for expansion, channels, blocks, first_stride in stages:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            y, wide = x, expansion * x.channels
            if expansion > 1:
                y = net.relu6(net.norm(net.conv(y, wide, 1)))
            y = net.relu6(net.norm(net.conv(y, wide, 3, stride, group=wide)))
            y = net.norm(net.conv(y, channels, 1))
            x = net.add("Add", x, y) if block > 0 else y
    return net.head(net.relu6(net.norm(net.conv(x, 1280, 1))))


def efficientnet_b0(net: Net) -> Tensor:
    stages = (
        # expansion, channels, blocks, stride of the first block, kernel
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    x = net.silu(net.norm(net.conv(net.input, 32, 3, stride=2)))
    for expansion, channels, blocks, first_stride, kernel in stages:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            y, wide = x, expansion * x.channels
            if expansion > 1:
                y = net.silu(net.norm(net.conv(y, wide, 1)))
            y = net.silu(net.norm(net.conv(y, wide, kernel, stride, group=wide)))
            y = net.squeeze_excite(y, max(1, x.channels // 4))
            y = net.norm(net.conv(y, channels, 1))
            x = net.add("Add", y, x) if block > 0 else y
    return net.head(net.silu(net.norm(net.conv(x, 1280, 1))))


TOPOLOGIES: dict[str, Callable[[Net], Tensor]] = {
    topology.__name__: topology
    for topology in (resnet50, densenet121, mobilenetv2, efficientnet_b0)
}


def build(name: str, *, seed: int = 0, images: int = 48) -> tuple[onnx.ModelProto, np.ndarray]:
    """Build a network of `TOPOLOGIES`.

    Returns:
        The model and its logits on the sample images, shape (images, 1000).
    """
    net = Net(sample_images(images, seed=seed), seed)
    output = TOPOLOGIES[name](net)
    return net.model(name), output.value


def write(name: str, path: Path) -> None:
    """Build a network, store it and print what it is."""
    model, logits = build(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    deviation = logits.std(axis=0)
    print(
        f"{name}: {path.stat().st_size / 1e6:.1f} MB, {len(model.graph.node)} nodes, "
        f"logits' deviation over images {deviation.mean():.2f} "
        f"({deviation.min():.2f} to {deviation.max():.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write networks with random weights as ONNX.")
    parser.add_argument("outdir", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TOPOLOGIES)}; default: all")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(TOPOLOGIES):
        parser.error(f"unknown networks: {', '.join(sorted(unknown))}")
    for name in arguments.names or TOPOLOGIES:
        write(name, arguments.outdir / name / "float.onnx")


if __name__ == "__main__":
    main()
