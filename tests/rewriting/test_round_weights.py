"""Rounding of weights and biases, against sums written out position by position."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from small_networks import build, floats
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.plan.entries import LayerPlan
from spiq.planning.plan.grid import Grid
from spiq.planning.plan.resolve import StoredTensor
from spiq.rewriting.round_weights import RoundedLayer, round_layer
from spiq.stats.channel import ChannelStats, stats

STEP = 0.02
INT32 = np.iinfo(np.int32)


def layer(operator: str, inputs: str = "float[1,4,5,7] x", **constants: object) -> ir.Node:
    names = ", ".join(constants)
    model = build(f"[o] y = {operator}(x, {names})", inputs=inputs, **constants)  # type: ignore[arg-type]
    graph = prepare(read(model)).model.graph
    return next(node for node in graph if node.name == "o")


def tensor(channels: int = 4, sigma: tuple[float, ...] = (), scale: float = STEP) -> StoredTensor:
    scales = sigma or (1.0,) * channels
    return StoredTensor(grid=Grid(8, scale, 0), channel_scale=scales, layout=(1, channels, 1, 1))


def known(mean: npt.ArrayLike = 0.0, channels: int = 4) -> ChannelStats:
    means = np.broadcast_to(np.asarray(mean, float), channels)
    return stats(means.reshape(1, -1, 1, 1), 1.0)


PLAIN = LayerPlan(bits=3, bias_correction=False)


def rows(array: np.ndarray, node: ir.Node) -> np.ndarray:
    turned = array.T if node.op_type == "MatMul" else array
    return turned.reshape(len(turned), -1).astype(np.float64)


def held(node: ir.Node, index: int) -> np.ndarray:
    value = node.inputs[index]
    assert value is not None and value.const_value is not None
    return value.const_value.numpy()


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("operator", ["Conv<pads=[1,1,1,1]>", "Conv<group=2>", "Conv<group=4>"])
def test_each_output_channel_has_its_own_symmetric_scale(bits: int, operator: str) -> None:
    groups = 2 if "2" in operator else 4 if "4" in operator else 1
    weight = np.random.default_rng(0).standard_normal((8, 4 // groups, 3, 3)).astype(np.float32)
    weight *= np.geomspace(1e-3, 10, 8).reshape(8, 1, 1, 1).astype(np.float32)
    node = layer(operator, w=weight)
    rounded = round_layer(node, LayerPlan(bits=bits), tensor(), known())
    qmax = 2 ** (bits - 1) - 1
    peaks = np.abs(rows(weight, node)).max(axis=1)
    np.testing.assert_allclose(rounded.step, peaks / qmax, rtol=1e-6)
    assert rounded.weight.dtype == np.int8 and rounded.weight.shape == weight.shape
    assert (np.abs(rows(rounded.weight, node)).max(axis=1) == qmax).all()
    error = rows(rounded.weight, node) * rounded.step[:, None] - rows(weight, node)
    assert (np.abs(error) <= rounded.step[:, None] * (0.5 + 1e-5)).all()


def test_columns_of_a_matmul_are_its_output_channels() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    node = layer("MatMul", "float[2,6] x", w=weight * floats(1, 10, 100))
    rounded = round_layer(node, LayerPlan(bits=8), tensor(6), known(channels=6))
    exact = held(node, 1)  # a Gemm by now: outputs first
    assert exact.shape == (3, 6)
    np.testing.assert_allclose(rounded.step, np.abs(exact).max(axis=1) / 127, rtol=1e-6)
    np.testing.assert_allclose(
        rounded.weight * rounded.step[:, None], exact, atol=rounded.step.max() / 2
    )


def shift(node: ir.Node, rounded: RoundedLayer, mean: np.ndarray) -> np.ndarray:
    """Run the rounding error over a map of means, zero padding and all, and average."""
    moved = rounded.weight * rounded.step.reshape(-1, 1, 1, 1).astype(np.float64)
    moved -= held(node, 1)
    outputs, columns, *kernel = moved.shape
    groups = node.attributes.get_int("group", 1)
    pads = list(node.attributes.get_ints("pads", [0, 0, 0, 0]) or [0, 0, 0, 0])
    strides = list(node.attributes.get_ints("strides", [1, 1]) or [1, 1])
    dilations = list(node.attributes.get_ints("dilations", [1, 1]) or [1, 1])
    image = np.broadcast_to(mean[:, None, None], (len(mean), 5, 7))
    image = np.pad(image, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    total = np.zeros(outputs)
    places = [
        (i, j)
        for i in range(0, image.shape[1] - reach[0] + 1, strides[0])
        for j in range(0, image.shape[2] - reach[1] + 1, strides[1])
    ]
    for output in range(outputs):
        first = output // (outputs // groups) * columns
        for i, j in places:
            seen = image[
                first : first + columns,
                i : i + reach[0] : dilations[0],
                j : j + reach[1] : dilations[1],
            ]
            total[output] += (moved[output] * seen).sum()
    return total / len(places)


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        ("Conv", (6, 4, 3, 3)),
        ("Conv<pads=[1,1,1,1]>", (6, 4, 3, 3)),
        ("Conv<pads=[0,1,2,0], strides=[2,1]>", (6, 4, 3, 3)),
        ("Conv<pads=[2,2,2,2], dilations=[2,2]>", (6, 4, 3, 3)),
        ("Conv<pads=[1,1,1,1], group=2>", (6, 2, 3, 3)),
        ("Conv<pads=[2,2,2,2], group=4>", (8, 1, 5, 5)),
    ],
)
@pytest.mark.parametrize("sigma", [(), (0.1, 2.0, 1.0, 0.5)], ids=["scalar", "per channel"])
def test_bias_takes_off_the_mean_of_the_rounding_error(
    operator: str, shape: tuple[int, ...], sigma: tuple[float, ...]
) -> None:
    node = layer(operator, w=shape, b=(shape[0],))
    mean = np.array([0.5, -2.0, 3.0, 0.0])
    source = tensor(sigma=sigma)
    rounded = round_layer(node, LayerPlan(bits=3), source, known(mean))
    expected = held(node, 2) - shift(node, rounded, mean / np.array(source.channel_scale))
    step = STEP * rounded.step.astype(np.float64)
    np.testing.assert_allclose(rounded.bias * step, expected, atol=0.51 * step.max())
    plain = round_layer(node, PLAIN, source, known(mean))
    np.testing.assert_array_equal(plain.weight, rounded.weight)
    np.testing.assert_allclose(plain.bias * step, held(node, 2), atol=0.51 * step.max())


def test_gemm_bias_takes_off_the_mean_of_the_rounding_error() -> None:
    node = layer("Gemm<transB=1>", "float[2,4] x", w=(5, 4), b=(5,))
    mean = np.array([0.5, -2.0, 3.0, 0.0])
    rounded = round_layer(node, LayerPlan(bits=3), tensor(), known(mean))
    step = rounded.step.astype(np.float64)
    moved = rounded.weight * step[:, None] - held(node, 1)
    np.testing.assert_allclose(
        rounded.bias * step * STEP, held(node, 2) - moved @ mean, atol=0.51 * STEP * step.max()
    )


@pytest.mark.parametrize("bias", [0.0, 1.0, -1e4, 1e12], ids=str)
@pytest.mark.parametrize("scale", [1e-7, 1.0], ids=["tiny step", "step 1"])
def test_rows_of_zeros_keep_their_bias_within_int32(bias: float, scale: float) -> None:
    weight = np.random.default_rng(0).standard_normal((3, 4, 1, 1)).astype(np.float32)
    weight[1] = 0
    node = layer("Conv", w=weight, b=floats(0.5, bias, -0.5))
    rounded = round_layer(node, LayerPlan(bits=8), tensor(scale=scale), known(1.0))
    assert (rounded.weight[1] == 0).all()
    assert np.isfinite(rounded.step).all() and (rounded.step > 0).all()
    assert INT32.min < rounded.bias.min() and rounded.bias.max() < INT32.max
    meant = rounded.bias * (scale * rounded.step.astype(np.float64))
    np.testing.assert_allclose(meant[1], bias, rtol=1e-6)


def test_bias_far_above_the_weights_costs_weight_bits_and_not_an_overflow() -> None:
    weight = np.full((1, 4, 1, 1), 1e-6, np.float32)
    node = layer("Conv", w=weight, b=floats(1e4))
    rounded = round_layer(node, LayerPlan(bits=8), tensor(scale=1e-6), known())
    meant = rounded.bias * (1e-6 * rounded.step.astype(np.float64))
    np.testing.assert_allclose(meant, 1e4, rtol=1e-6)


def test_an_all_zero_layer_without_bias() -> None:
    rounded = round_layer(
        layer("Conv", w=np.zeros((2, 4, 1, 1), np.float32)), LayerPlan(bits=8), tensor(), known()
    )
    assert not rounded.weight.any() and not rounded.bias.any()
    assert (rounded.step > 0).all()
