"""Sums in float have ONNX Runtime's order, so that not a bit differs."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_modules import torch
from small_networks import build
from spiq.emulation import Network
from spiq.runtime.session import session

SIZES = {1: (23,), 2: (20, 23)}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def assert_equal(
    body: str,
    channels: int,
    sizes: tuple[int, ...] = (20, 23),
    *,
    outputs: str = "y",
    **constants: np.ndarray,
) -> None:
    shape = (2, channels, *sizes)
    inputs = f"float[{','.join(map(str, shape))}] x"
    model = onnx.shape_inference.infer_shapes(
        build(body, inputs=inputs, outputs=outputs, **constants)
    )
    x = normal(*shape)
    wanted = session(model.SerializeToString()).run(None, {"x": x})
    found = Network(ir.serde.deserialize_model(model))(torch.from_numpy(x))
    for one, other in zip(wanted, found if len(wanted) > 1 else [found], strict=True):
        np.testing.assert_array_equal(other.numpy(), one)


@pytest.mark.parametrize(
    ("read", "written", "groups", "kernel"),
    [
        pytest.param(16, 16, 16, (3, 3), id="depthwise"),
        pytest.param(12, 12, 12, (7, 7), id="depthwise, blocks not filled"),
        pytest.param(33, 33, 33, (3, 3), id="depthwise, without blocks"),
        pytest.param(3, 16, 1, (3, 3), id="colours"),
        pytest.param(64, 24, 1, (1, 1), id="1 x 1"),
        pytest.param(160, 24, 1, (1, 1), id="1 x 1, many channels"),
        pytest.param(30, 10, 1, (3, 3), id="no multiple of four"),
        pytest.param(27, 3, 3, (3, 3), id="one output per group"),
        pytest.param(48, 16, 8, (3, 3), id="groups"),
        pytest.param(12, 24, 1, (5,), id="one dimension"),
    ],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions(
    read: int, written: int, groups: int, kernel: tuple[int, ...], stride: int
) -> None:
    pads = [size // 2 for size in kernel] * 2
    assert_equal(
        f"y = Conv<group={groups}, pads={pads}, strides={[stride] * len(kernel)}>(x, w, b)",
        read,
        SIZES[len(kernel)],
        w=normal(written, read // groups, *kernel),
        b=normal(written),
    )


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_convolutions_by_blocks(groups: int) -> None:
    body = f"y = Conv<group={groups}, dilations=[2, 2]>(x, w)"
    assert_equal(body, 64, w=normal(64, 64 // groups, 3, 3))


@pytest.mark.parametrize("channels", [8, 12])
def test_channels_that_fill_a_block_of_one_machine(channels: int) -> None:
    body = (
        f"a = Conv(x, w) y = Conv<group={channels}>(a, v) z = AveragePool<kernel_shape=[3, 3]>(a)"
    )
    constants = {"w": normal(channels, channels, 3, 3), "v": normal(channels, 1, 3, 3)}
    assert_equal(body, channels, outputs="y, z", **constants)


def test_few_positions_have_long_runs() -> None:
    assert_equal("y = Conv(x, w)", 30, (5, 4), w=normal(10, 30, 3, 3))


@pytest.mark.parametrize("channels", [3, 32], ids=["plain", "blocks"])
@pytest.mark.parametrize("pool", ["strides=[2, 2], pads=[1, 1, 1, 1]", "strides=[3, 3]"])
def test_average_pools(channels: int, pool: str) -> None:
    body = f"a = Abs(x) y = AveragePool<kernel_shape=[3, 3], {pool}>(a)"
    assert_equal(body, channels)


@pytest.mark.parametrize("operator", ["Abs", "Relu"], ids=["plain", "blocks"])
@pytest.mark.parametrize("channels", [32, 20])
def test_global_pools(operator: str, channels: int) -> None:
    body = f"c = Conv<group={channels}>(x, w) a = {operator}(c) y = GlobalAveragePool(a)"
    assert_equal(body, channels, w=normal(channels, 1, 1, 1))


@pytest.mark.parametrize("inner", ["Relu(c)", "Abs(c)", "MaxPool<kernel_shape=[2, 2]>(x)"])
def test_norms_on_blocks_and_beside(inner: str) -> None:
    norm = {name: normal(32) for name in "gbm"} | {"v": np.abs(normal(32))}
    body = f"c = Conv<group=32>(x, w) a = {inner} y = BatchNormalization(a, g, b, m, v)"
    assert_equal(body, 32, w=normal(32, 1, 1, 1), **norm)


@pytest.mark.parametrize("second", ["Conv(x, u, b)", "MaxPool<kernel_shape=[1, 1]>(x)"])
def test_a_sum_is_what_the_last_convolution_begins_with(second: str) -> None:
    body = f"c = Conv(x, w, b) d = {second} y = Add(d, c)"
    assert_equal(body, 32, w=normal(32, 32, 1, 1), u=normal(32, 32, 1, 1), b=normal(32))


def test_a_convolution_that_others_read_is_whole_before_a_sum() -> None:
    body = "c = Conv(x, w, b) d = Conv(x, u, b) y = Add(c, d) z = Neg(c) t = Neg(d)"
    constants = {"w": normal(32, 32, 1, 1), "u": normal(32, 32, 1, 1), "b": normal(32)}
    assert_equal(body, 32, outputs="y, z, t", **constants)


@pytest.mark.parametrize("sizes", ["Concat<axis=1>(c, c)", "Concat<axis=2>(c, c)"])
def test_concat(sizes: str) -> None:
    norm = {name: normal(64) for name in "gbm"} | {"v": np.abs(normal(64))}
    norm = norm if "axis=1" in sizes else {name: held[:32] for name, held in norm.items()}
    body = f"c = Conv(x, w) a = {sizes} y = BatchNormalization(a, g, b, m, v)"
    assert_equal(body, 32, w=normal(32, 32, 1, 1), **norm)


def test_gradients_are_those_of_a_convolution() -> None:
    model = build(
        "y = Conv<pads=[1, 1, 1, 1]>(x, w)", inputs="float[1,4,6,6] x", w=normal(8, 4, 3, 3)
    )
    x = torch.from_numpy(normal(1, 4, 6, 6)).requires_grad_()
    Network(ir.serde.deserialize_model(model), differentiable=True)(x).square().sum().backward()
    other = x.detach().clone().requires_grad_()
    torch.conv2d(other, torch.from_numpy(normal(8, 4, 3, 3)), padding=1).square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad, atol=1e-4, rtol=1e-4)
