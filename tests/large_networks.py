"""A network that is worked on as large ones are: all limits are a few thousand times smaller."""

from pathlib import Path

import onnx
import pytest

from small_networks import bn, build, norm, trained
from spiq.graph import lazy
from spiq.runtime import parts

CHANNELS = 64


def body(layers: int) -> str:
    """Return stages of convolution, BatchNormalization and Relu, each with a residual sum."""
    text = f"[first] c = Conv<pads=[1,1,1,1]>(x, w) {bn('c', 'n')}[r] r0 = Relu(n) "
    for i in range(layers):
        text += (
            f"[conv{i}] c{i} = Conv<pads=[1,1,1,1]>(r{i}, w{i}) {bn(f'c{i}', f'n{i}')}"
            f"[relu{i}] a{i} = Relu(n{i}) [sum{i}] r{i + 1} = Add(a{i}, r{i}) "
        )
    return (
        text + f"[g] g = GlobalAveragePool(r{layers}) [f] f = Flatten(g) [fc] y = MatMul(f, head)"
    )


def network(layers: int = 8, channels: int = CHANNELS) -> onnx.ModelProto:
    weights = {f"w{i}": (channels, channels, 3, 3) for i in range(layers)}
    norms = {k: v for i in range(layers) for k, v in norm(f"n{i}", channels).items()}
    return trained(
        build(
            body(layers),
            inputs="float[N,3,16,16] x",
            w=(channels, 3, 3, 3),
            head=(channels, 10),
            **weights,
            **norm("n", channels),
            **norms,
        )
    )


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    """Save a network with its weights beside it."""
    path = folder / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=1024)
    return path


def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a network of half a megabyte be large, and parts hold about two layers."""
    monkeypatch.setattr(lazy, "LARGE", 1 << 19)
    monkeypatch.setattr(parts, "PART", 1 << 18)


def wide_network(layers: int = 12, width: int = 1024) -> onnx.ModelProto:
    """Return linear layers: many weights, next to no activations."""
    text = "[f] r0 = Flatten(x) "
    for i in range(layers):
        text += (
            f"[fc{i}] c{i} = Gemm<transB=1>(r{i}, w{i}) {bn(f'c{i}', f'n{i}')}"
            f"[relu{i}] r{i + 1} = Relu(n{i}) "
        )
    weights = {f"w{i}": (width, width if i else 192) for i in range(layers)}
    norms = {k: v for i in range(layers) for k, v in norm(f"n{i}", width).items()}
    text += f"[fc] y = Gemm<transB=1>(r{layers}, head)"
    made = build(text, inputs="float[N,3,8,8] x", head=(10, width), **weights, **norms)
    return made
