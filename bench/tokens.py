"""Layers on tokens for a `Net`, spelled as PyTorch exports timm's: tensors are (N, T, C).

Weights are normal with variance 1 over the inputs, gammas and betas as those of `Net.norm`.
"""

from __future__ import annotations

import numpy as np

from net import Net, Tensor


def patches(net: Net, width: int, size: int) -> Tensor:
    """Cut an image into patches, a token each, with a class token in front; add positions."""
    channels = net.input.channels
    weights = {
        "weight": net.rng.standard_normal((width, channels, size, size)) / size / channels**0.5,
        "bias": net.rng.normal(0, 0.3, width),
    }
    sizes = {"kernel_shape": [size] * 2, "strides": [size] * 2}
    x = net.add("Conv", net.input, weights=_floats(weights), **sizes)
    x = _transposed(net, _reshaped(net, x, [0, width, -1]), 0, 2, 1)

    # the class token, as often as there are images
    count = net.add("Shape", net.input, start=0, end=1)
    shape = net.add("Concat", count, weights={"sizes": np.array([1, width])}, axis=0)
    one = net.rng.standard_normal((1, 1, width)).astype(np.float32)
    first = net.add("Expand", _constant(net, one), shape)
    x = net.add("Concat", first, x, axis=1)
    positions = 0.3 * net.rng.standard_normal((1, *x.value.shape[1:]))
    return net.add("Add", x, weights=_floats({"positions": positions}))


def layer_norm(net: Net, x: Tensor) -> Tensor:
    """LayerNormalization over channels."""
    width = x.value.shape[-1]
    weights = {"gamma": net.rng.uniform(0.5, 1.5, width), "beta": net.rng.normal(0, 0.3, width)}
    return net.add("LayerNormalization", x, weights=_floats(weights), axis=-1, epsilon=1e-6)


def attention(net: Net, x: Tensor, heads: int) -> Tensor:
    """Attention of all tokens to all, softmax(q k^T / sqrt(d)) v, between linear layers."""
    count, width = x.value.shape[1:]
    size = width // heads
    joined = _reshaped(net, linear(net, x, 3 * width), [0, count, 3, heads, size])
    joined = _transposed(net, joined, 2, 0, 3, 1, 4)
    q, k, v = (
        net.add("Gather", joined, weights={"index": np.array(index)}, axis=0) for index in range(3)
    )
    root = _floats({"root": np.array(size**-0.25)})
    q = net.add("Mul", q, weights=root)
    k = net.add("Mul", _transposed(net, k, 0, 1, 3, 2), weights=root)
    shares = net.add("Softmax", net.add("MatMul", q, k), axis=-1)
    mixed = _transposed(net, net.add("MatMul", shares, v), 0, 2, 1, 3)
    return linear(net, _reshaped(net, mixed, [0, count, width]), width)


def feed_forward(net: Net, x: Tensor, hidden: int) -> Tensor:
    """Two linear layers with gelu(x) = x/2 (1 + erf(x / sqrt(2))) between."""
    y = linear(net, x, hidden)
    bent = net.add("Erf", net.add("Div", y, weights=_floats({"root": np.sqrt(np.array(2.0))})))
    bent = net.add("Mul", y, net.add("Add", bent, weights=_floats({"one": np.array(1.0)})))
    bent = net.add("Mul", bent, weights=_floats({"half": np.array(0.5)}))
    return linear(net, bent, x.value.shape[-1])


def linear(net: Net, x: Tensor, size: int) -> Tensor:
    """A linear layer of tokens: MatMul and Add."""
    width = x.value.shape[-1]
    weight = net.rng.standard_normal((width, size)) / np.sqrt(width)
    y = net.add("MatMul", x, weights=_floats({"weight": weight}))
    return net.add("Add", y, weights=_floats({"bias": net.rng.normal(0, 0.3, size)}))


def token(net: Net, x: Tensor) -> Tensor:
    """The class token, (N, C)."""
    return net.add("Gather", x, weights={"index": np.array(0)}, axis=1)


def _constant(net: Net, value: np.ndarray) -> Tensor:
    return net.add("Identity", weights={"value": value})


def _reshaped(net: Net, x: Tensor, shape: list[int]) -> Tensor:
    return net.add("Reshape", x, weights={"shape": np.array(shape)})


def _transposed(net: Net, x: Tensor, *axes: int) -> Tensor:
    return net.add("Transpose", x, perm=axes)


def _floats(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: array.astype(np.float32) for key, array in weights.items()}
