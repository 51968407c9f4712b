"""Write well-known ImageNet networks with seeded random weights as ONNX files.

Speed, file size and the handling of large graphs do not depend on trained weights, so these
networks need no download. Topologies follow torchvision 0.2x as it exports them: ResNet-50
(stride in the 3x3 convolution), DenseNet-121 (every layer concatenates all earlier features of
its block), MobileNetV2 (ReLU6), EfficientNet-B0 (SiLU, squeeze and excitation) and
MobileNetV3-Large (HardSwish, hard squeeze and excitation). ViT-Tiny, on patches of 16 pixels, is
timm's.

Usage: python bench/networks.py OUTDIR [NETWORK...]
writes OUTDIR/<network>/float.onnx.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from net import Net, Tensor, window
from spiq.runtime.synthetic import dead_leaves
from tokens import attention, feed_forward, layer_norm, patches, token

SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, of values from 0 to 1: what these networks' inputs are normalized with."""


def sample_images(count: int, *, seed: int = 0) -> np.ndarray:
    """Dead-leaves images, normalized as for ImageNet: float32, (count, 3, 224, 224)."""
    shape = (-1, 1, 1)
    mean, std = np.array(MEAN, np.float32).reshape(shape), np.array(STD, np.float32).reshape(shape)
    return (dead_leaves((count, 3, SIZE, SIZE), seed=seed) - mean) / std


def resnet50(net: Net) -> Tensor:
    x = net.relu(net.norm(net.conv(net.input, 64, 7, stride=2)))
    x = net.add("MaxPool", x, **window(3, 2))
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
    x = net.add("MaxPool", x, **window(3, 2))
    for index, layers in enumerate((6, 12, 24, 16)):
        if index > 0:
            x = net.conv(net.relu(net.norm(x)), x.channels // 2, 1)
            x = net.add("AveragePool", x, **window(2, 2, pad=0))
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


def mobilenetv3_large(net: Net) -> Tensor:
    layers = (
        # kernel, expanded, channels, squeeze and excitation, HardSwish, stride
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    )
    x = net.hardswish(net.norm(net.conv(net.input, 16, 3, stride=2)))
    for kernel, wide, channels, excites, hard, stride in layers:
        activation = net.hardswish if hard else net.relu
        y = x
        if wide != x.channels:
            y = activation(net.norm(net.conv(y, wide, 1)))
        y = activation(net.norm(net.conv(y, wide, kernel, stride, group=wide)))
        if excites:
            y = net.hard_squeeze_excite(y, _divisible(wide // 4))
        y = net.norm(net.conv(y, channels, 1))
        x = net.add("Add", y, x) if stride == 1 and channels == x.channels else y
    x = net.pooled(net.hardswish(net.norm(net.conv(x, 960, 1))))
    return net.classify(net.hardswish(net.gemm(x, 1280)))


def _divisible(channels: int) -> int:
    return max(8, (channels + 4) // 8 * 8)


def vit_tiny(net: Net, width: int = 192, heads: int = 3) -> Tensor:
    x = patches(net, width, 16)
    for _ in range(12):
        x = net.add("Add", x, attention(net, layer_norm(net, x), heads))
        x = net.add("Add", x, feed_forward(net, layer_norm(net, x), 4 * width))
    return net.classify(token(net, layer_norm(net, x)))


TOPOLOGIES: dict[str, Callable[[Net], Tensor]] = {
    topology.__name__: topology
    for topology in (
        resnet50,
        densenet121,
        mobilenetv2,
        efficientnet_b0,
        mobilenetv3_large,
        vit_tiny,
    )
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
