"""Every rule against an oracle: sample such inputs, run the operator, compare the moments.

Inputs are normal with the given moments, cut to the given bounds; pixels of one channel have the
pairwise correlation that the rule assumes, channels and tensors are independent. The draws are
whitened, so for a linear operator all that is left is what the rule approximates. A second batch
sits on the bounds themselves. Tolerances are in standard deviations of the output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from spiq.io.read import read
from spiq.runtime.session import session
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.rules import RULES
from spiq.stats.rules.largest import largest_correlation
from spiq.stats.rules.pooling import FAR_CORRELATION, reduced_axes
from spiq.stats.rules.types import NEIGHBOUR_CORRELATION

IMAGES, CHANNELS, SIZE = 2048, 4, 6
IMAGE = (IMAGES, CHANNELS, SIZE, SIZE)
POINTS = (IMAGES, CHANNELS, 1, 1)
ROWS = (IMAGES, CHANNELS)
SEED = 20240229

_normal = NormalDist()
_QUANTILES = np.array([_normal.inv_cdf((k + 0.5) / IMAGES) for k in range(IMAGES)])


def per_channel(
    mean: object, std: object, low: object = -np.inf, high: object = np.inf, *, rank: int = 4
) -> ChannelStats:
    layout = (1, -1) + (1,) * (rank - 2)
    arrays = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (mean, std, low, high)))
    mean, std, low, high = (array.reshape(layout) for array in arrays)
    return stats(mean, std**2, low, high, "norm")


CUT = per_channel(
    [-1.5, 0.0, 0.7, 3.0],
    [1.0, 0.5, 2.0, 1.0],
    [-np.inf, -0.6, 0.0, -np.inf],
    [np.inf, 0.9, np.inf, 3.5],
)
FREE = per_channel([-1.0, 0.0, 0.5, 2.0], [1.0, 0.5, 2.0, 0.7])
WIDE = per_channel([-1.0, 0.0, 0.5, 2.0], [1.0, 0.5, 2.0, 0.7], -9.0, [9.0, 4.0, 12.0, 7.0])
CENTRED = per_channel(0.0, [1.0, 0.5, 2.0, 0.7], -12.0, 12.0)
ABOVE = per_channel([4.0, 5.0, 12.0, 3.0], [1.0, 0.5, 2.0, 0.7], 0.2, [9.0, 9.0, 30.0, 9.0])
FAR = per_channel([4.0, 5.0, 12.0, 30.0], [0.5, 0.5, 1.0, 2.0], 1.0, 99.0)
NEAR = per_channel([0.6, 0.9, 0.3, 2.0], [0.7, 0.9, 0.5, 0.2], 0.2, [9.0, 4.0, 12.0, 7.0])
CALM = per_channel([-1.0, 0.0, 0.5, 2.0], 0.3, -9.0, 9.0)
LOGITS = (IMAGES, 100, 1, 1)
LOGIT = per_channel(np.linspace(-2, 2, 100), 0.7, -9.0, 9.0)
RECTIFIED = per_channel([-1.5, -0.5, 0.5, 2.0], [1.0, 0.5, 2.0, 0.7], -np.inf, np.inf)
FLAT3 = per_channel([-1.0, 0.0, 0.5, 2.0], [1.0, 0.5, 2.0, 0.7], -9.0, 13.0, rank=3)
FLAT_ROWS = per_channel([-1.0, 0.0, 0.5, 2.0], [1.0, 0.5, 2.0, 0.7], -9.0, 13.0, rank=2)


@dataclass(frozen=True)
class Case:
    """``body`` is the network in ONNX text; its last node is the one under test."""

    name: str
    body: str
    inputs: Mapping[str, tuple[tuple[int, ...], ChannelStats]]
    mean: float = 1e-3
    std: float = 1e-3
    correlation: float = NEIGHBOUR_CORRELATION
    opset: int = 20
    outputs: str = "y"
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def operator(self) -> str:
        return str(self.model().graph.node[-1].op_type)

    def model(self) -> onnx.ModelProto:
        sizes = {
            name: ",".join(["N", *map(str, shape[1:])]) for name, (shape, _) in self.inputs.items()
        }
        given = ", ".join(f"float[{size}] {name}" for name, size in sizes.items())
        model = onnx.parser.parse_model(
            f'<ir_version: 9, opset_import: ["": {self.opset}]> '
            f"net ({given}) => ({self.outputs}) {{ {self.body} }}"
        )
        for name, array in self.constants.items():
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        return model


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 0.4, shape).astype(np.float32)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def activation(body: str, x: ChannelStats = CUT, *, opset: int = 20, **more: object) -> Case:
    constants = {k: v for k, v in more.items() if isinstance(v, np.ndarray)}
    return Case(body, body, {"x": (POINTS, x)}, 5e-3, 8e-3, opset=opset, constants=constants)


def layer(
    name: str,
    body: str,
    x: ChannelStats = WIDE,
    shape: tuple[int, ...] = IMAGE,
    *,
    mean: float = 1e-3,
    std: float = 1e-3,
    **constants: np.ndarray,
) -> Case:
    return Case(name, body, {"x": (shape, x)}, mean, std, constants=constants)


def largest(
    name: str,
    body: str,
    count: int,
    x: ChannelStats | None = None,
    *,
    mean: float = 5e-3,
    std: float = 1e-2,
) -> Case:
    """Of ``count`` pixels that are correlated as the rule takes them; ``x`` is cut off at 0."""
    shown = {"x": (IMAGE, WIDE if x is None else x)}
    first = "" if x is None else "r = Relu(x) "
    body = first + (body if x is None else body.replace("(x)", "(r)"))
    return Case(name, body, shown, mean, std, correlation=largest_correlation(count))


ACTIVATIONS = [
    activation("y = Abs(x)"),
    activation("y = Clip(x, lo, hi)", lo=np.array(-1, np.float32), hi=np.array(1, np.float32)),
    activation("y = Celu<alpha=0.7>(x)"),
    activation("y = Erf(x)"),
    activation("y = Sin(x)"),
    activation("y = Cos(x)"),
    activation("y = Mish(x)"),
    activation("y = Selu(x)"),
    activation("y = Softsign(x)"),
    activation("y = ThresholdedRelu<alpha=0.3>(x)"),
    activation("y = Elu<alpha=0.7>(x)"),
    activation("y = Exp(x)", per_channel([-1.5, 0.0, 0.3, 1], [0.5, 0.2, 0.4, 0.3], -6, 4)),
    activation("y = Gelu(x)"),
    activation("y = HardSigmoid<alpha=0.3, beta=0.4>(x)"),
    activation("y = HardSwish(x)"),
    activation("y = LeakyRelu<alpha=0.1>(x)"),
    activation("y = LeakyRelu<alpha=-0.1>(x)"),
    layer("linear", "y = Neg(x)"),
    activation("y = PRelu(x, slope)", slope=floats(0.3, -0.5, 0, 1.2).reshape(4, 1, 1)),
    activation("y = Pow(x, p)", p=np.array(2, np.float32)),
    activation("y = Pow(x, p)", ABOVE, p=floats(0.5)),
    activation("y = Relu(x)"),
    activation("y = Log(x)", ABOVE),
    activation("y = Sigmoid(x)"),
    activation("y = Softplus(x)"),
    activation("y = Sqrt(x)", per_channel([0.5, 1, 2, 9], [0.3, 0.2, 2, 1], 0, 20)),
    activation("y = Tanh(x)"),
]

PAIR = {"x": (POINTS, WIDE), "z": (POINTS, ABOVE)}
PAIRS = {"x": (IMAGE, WIDE), "z": (IMAGE, ABOVE)}
SCALE = floats(0.5, -2, 0, 1.5).reshape(4, 1, 1)

ARITHMETIC = [
    Case("two tensors", "y = Add(x, z)", PAIR),
    Case("constant per channel", "y = Add(b, x)", {"x": (POINTS, WIDE)}, constants={"b": SCALE}),
    Case("two tensors", "y = Sub(x, z)", PAIR),
    Case("from a constant", "y = Sub(b, x)", {"x": (POINTS, WIDE)}, constants={"b": SCALE}),
    Case("two tensors", "y = Mul(x, z)", PAIR, 1e-3, 2e-2),
    Case("constant per channel", "y = Mul(x, b)", {"x": (POINTS, WIDE)}, constants={"b": SCALE}),
    Case("SiLU", "s = Sigmoid(x) y = Mul(x, s)", {"x": (POINTS, CUT)}, 5e-3, 8e-3),
    Case(
        "HardSwish",
        "s = HardSigmoid<alpha=0.16666667>(x) y = Mul(s, x)",
        {"x": (POINTS, CUT)},
        5e-3,
        8e-3,
    ),
    Case("away from 0", "y = Reciprocal(x)", {"x": (POINTS, FAR)}, 1e-2, 2e-2),
    Case("cut near 0", "y = Reciprocal(x)", {"x": (POINTS, NEAR)}, 1e-2, 1e-2),
    Case(
        "one over what is cut",
        "o = Constant<value_float=1.0>() y = Div(o, x)",
        {"x": (POINTS, NEAR)},
        1e-2,
        1e-2,
    ),
    Case("two tensors", "y = Max(x, z)", PAIR, 1e-2, 2e-2),
    Case("two tensors", "y = Min(x, z)", PAIR, 1e-2, 2e-2),
    Case(
        "every second pixel",
        "y = Where(c, x, z)",
        PAIRS,
        constants={"c": np.arange(SIZE) % 2 == 0},
    ),
    # A second-order expansion where it ends near 0; its spread is up to a quarter of its mean.
    Case("two tensors", "y = Div(x, z)", PAIR, 0.04, 0.16),
    Case(
        "by a constant",
        "y = Div(x, b)",
        {"x": (POINTS, WIDE)},
        constants={"b": floats(0.5, -2, 4, 1).reshape(4, 1, 1)},
    ),
]

LAYERS = [
    layer("1x1", "y = Conv(x, w, b)", w=weights(5, 4, 1, 1), b=weights(5)),
    layer("3x3", "y = Conv(x, w, b)", w=weights(5, 4, 3, 3), b=weights(5)),
    layer("padded, centred", "y = Conv<pads=[1,1,1,1]>(x, w)", CENTRED, w=weights(5, 4, 3, 3)),
    layer("padded", "y = Conv<pads=[1,1,1,1]>(x, w)", w=weights(5, 4, 3, 3)),
    layer("asymmetric pads", "y = Conv<pads=[0,2,1,0]>(x, w)", w=weights(5, 4, 3, 3)),
    layer(
        "stride",
        "y = Conv<pads=[1,1,0,0], strides=[2,3]>(x, w)",
        w=weights(5, 4, 3, 3),
    ),
    layer(
        "dilation",
        "y = Conv<pads=[2,2,2,2], dilations=[2,2]>(x, w)",
        w=weights(5, 4, 3, 3),
    ),
    layer("groups", "y = Conv<group=2>(x, w, b)", w=weights(6, 2, 3, 3), b=weights(6)),
    layer("depthwise", "y = Conv<group=4>(x, w, b)", w=weights(4, 1, 3, 3), b=weights(4)),
    layer("row", "y = Conv<pads=[0,1,0,1]>(x, w)", w=weights(5, 4, 1, 3)),
    layer("one dimension", "y = Conv(x, w)", FLAT3, (IMAGES, CHANNELS, 9), w=weights(5, 4, 3)),
    layer(
        "2x2, stride 2",
        "y = ConvTranspose<strides=[2,2]>(x, w, b)",
        w=weights(4, 5, 2, 2),
        b=weights(5),
    ),
    layer("3x3, stride 1", "y = ConvTranspose<pads=[2,2,2,2]>(x, w)", w=weights(4, 5, 3, 3)),
    layer(
        "4x4, stride 2",
        "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(x, w)",
        w=weights(4, 5, 4, 4),
    ),
    layer("groups", "y = ConvTranspose<strides=[2,2], group=2>(x, w)", w=weights(4, 3, 2, 2)),
    layer("bias", "y = Gemm<transB=1>(x, w, b)", FLAT_ROWS, ROWS, w=weights(7, 4), b=weights(7)),
    layer("no bias", "y = Gemm<transB=1>(x, w)", FLAT_ROWS, ROWS, w=weights(7, 4)),
    layer(
        "unfolded",
        "y = BatchNormalization(x, g, b, m, v)",
        g=floats(1, -0.5, 0, 2),
        b=floats(0, 1, 2, -1),
        m=floats(-1, 0, 0.5, 2),
        v=floats(1, 0.2, 4, 0.5),
    ),
]

TOKEN = per_channel(np.linspace(-1, 1, 100), np.geomspace(0.5, 2, 100), -20.0, 20.0, rank=2)
TOKENS = {"x": ((IMAGES, 100), TOKEN)}
STEPS = {"a": np.linspace(-1, 3, 100, dtype=np.float32), "b": weights(100)}

NORMS = [
    layer("maps", "y = MeanVarianceNormalization<axes=[0,2,3]>(x)"),
    Case(
        "channels", "y = MeanVarianceNormalization<axes=[1]>(x)", {"x": (LOGITS, LOGIT)}, 0.05, 0.05
    ),
    layer("a map", "y = InstanceNormalization(x, a, b)", a=floats(1, 2, 0, -1), b=weights(4)),
    # The deviation of all is taken as a constant, which holds for many.
    Case("rows", "y = LayerNormalization(x, a, b)", TOKENS, 0.07, 0.07, constants=STEPS),
    Case(
        "rows",
        "y = RMSNormalization(x, a)",
        TOKENS,
        0.07,
        0.07,
        opset=23,
        constants={"a": STEPS["a"]},
    ),
    Case(
        "two groups",
        "y = GroupNormalization<num_groups=2>(x, a, b)",
        {"x": (IMAGE, FREE)},
        0.05,
        0.05,
        correlation=0.0,
        opset=21,
        constants={"a": floats(1, 2, 0, -1), "b": weights(4)},
    ),
    Case("rows", "y = LpNormalization<axis=1, p=2>(x)", TOKENS, 0.07, 0.07),
]

PRODUCTS = [
    layer("constant weight", "y = MatMul(x, w)", FLAT_ROWS, ROWS, w=weights(4, 7)),
    Case(
        "two tensors",
        "t = Transpose<perm=[0,2,1]>(z) y = MatMul(x, t)",
        {"x": ((IMAGES, CHANNELS, 6), FLAT3), "z": ((IMAGES, CHANNELS, 6), FLAT3)},
        1e-3,
        5e-2,
        correlation=0.0,
    ),
    Case(
        "means by a softmax",
        "s = Softmax<axis=2>(x) t = Transpose<perm=[0,2,1]>(z) y = MatMul(s, t)",
        {"x": ((IMAGES, CHANNELS, 6), FLAT3), "z": ((IMAGES, CHANNELS, 6), FLAT3)},
        correlation=1.0,
    ),
]

FLAT = per_channel(0.5, 2.0, -9.0, 12.0)
_PIXELS = np.tile(whole(0, 1, 2), (IMAGES, 1))

MOVEMENT = [
    Case("channels", "y = Concat<axis=1>(x, z)", PAIRS),
    Case("space", "y = Concat<axis=2>(x, z)", PAIRS),
    layer("every second pixel", "y = Compress<axis=3>(x, c)", FLAT, c=np.arange(SIZE) % 2 == 0),
    layer("blocks", "y = DepthToSpace<blocksize=2>(x)"),
    layer("blocks", "y = SpaceToDepth<blocksize=2>(x)"),
    layer("space", "y = Expand(x, s)", WIDE, POINTS, s=whole(1, 4, 3, 2)),
    layer("space", "y = Tile(x, r)", r=whole(1, 1, 2, 3)),
    layer("pixels", "y = GatherND<batch_dims=1>(x, i)", FLAT, i=_PIXELS),
    layer(
        "space by a number",
        "y = Pad(x, p, f)",
        p=whole(0, 0, 1, 2, 0, 0, 0, 1),
        f=np.array(3.5, np.float32),
    ),
    layer("pixels of channels", "y = Reshape(x, s)", FLAT, s=whole(0, 1, 4, 36)),
    layer("inference", "y = Dropout(x)"),
    layer("nothing", "y = Identity(x)"),
    layer("double", "y = Cast<to=11>(x)"),
    layer("double", "y = CastLike(x, z)", z=np.zeros(1, np.float64)),
    layer("with space", "y = Flatten(x)"),
    layer("channels", "y = Gather<axis=1>(x, i)", i=whole(3, 0, 0, -2)),
    layer("one channel", "y = Gather<axis=1>(x, i)", i=np.array(2)),
    layer("pixels", "y = Gather<axis=-1>(x, i)", i=whole(3, 0)),
    layer("channels", "y = Pad(x, p)", p=whole(0, 1, 0, 0, 0, 2, 0, 0)),
    layer("space", "y = Pad(x, p)", ABOVE, p=whole(0, 0, 1, 2, 0, 0, 0, 1)),
    Case(
        "channels of one",
        "y = Pad(x, p)",
        {"x": ((IMAGES, 1, 6, 6), per_channel([0.5], 2.0, -9, 9))},
        constants={"p": whole(0, 1, 1, 0, 0, 2, 0, 0)},
    ),
    layer("both", "y = Pad(x, p)", ABOVE, p=whole(0, 0, 1, 2, 0, 3, 0, 1)),
    layer("edge", 'y = Pad<mode="edge">(x, p)', p=whole(0, 0, 1, 1, 0, 0, 1, 1)),
    layer("groups", "y = Reshape(x, s)", s=whole(0, 2, 2, 6, 6)),
    layer("no space", "y = Reshape(x, s)", s=whole(0, -1)),
    layer(
        "channel shuffle",
        "a = Reshape(x, s) t = Transpose<perm=[0,2,1,3,4]>(a) y = Reshape(t, u)",
        s=whole(0, 2, 2, 6, 6),
        u=whole(0, 4, 6, 6),
    ),
    layer("channels", "y = Slice(x, s, e, a)", s=whole(1), e=whole(-1), a=whole(1)),
    layer(
        "backwards", "y = Slice(x, s, e, a, t)", s=whole(-1), e=whole(-9), a=whole(1), t=whole(-1)
    ),
    layer("space", "y = Slice(x, s, e, a, t)", s=whole(1), e=whole(5), a=whole(2), t=whole(2)),
    Case(
        "channels",
        "y, z = Split<axis=1>(x, n)",
        {"x": (IMAGE, WIDE)},
        outputs="y, z",
        constants={"n": whole(1, 3)},
    ),
    layer("behind a pool", "y = Squeeze(x, a)", WIDE, POINTS, a=whole(2, 3)),
    layer("channels last", "y = Transpose<perm=[0,2,3,1]>(x)"),
    layer("groups", "a = Reshape(x, s) y = Transpose<perm=[0,2,1,3,4]>(a)", s=whole(0, 2, 2, 6, 6)),
    layer("space", "y = Unsqueeze(x, a)", FLAT_ROWS, ROWS, a=whole(-1, -2)),
]

SPACE = {"a": whole(2, 3)}

POOLING = [
    layer("2x2", "y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x)"),
    layer("padding left out", "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)"),
    layer(
        "padding counted",
        "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)",
    ),
    Case("calm", "y = LRN<size=3, alpha=0.001>(x)", {"x": (IMAGE, CALM)}, 1e-2, 3e-2),
    largest("2x2", "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", 4),
    largest("3x3", "y = MaxPool<kernel_shape=[3,3]>(x)", 9),
    largest("rectified", "y = MaxPool<kernel_shape=[3,3]>(x)", 9, RECTIFIED, mean=1e-2, std=3e-2),
    largest("all", "y = GlobalMaxPool(x)", 36, mean=1e-2, std=2e-2),
    Case("all", "y = GlobalAveragePool(x)", {"x": (IMAGE, WIDE)}, correlation=FAR_CORRELATION),
    Case(
        "axes as input",
        "y = ReduceMean<keepdims=0>(x, a)",
        {"x": (IMAGE, WIDE)},
        correlation=FAR_CORRELATION,
        constants={"a": whole(-1, 2)},
    ),
    Case(
        "axes as attribute",
        "y = ReduceMean<axes=[2,3]>(x)",
        {"x": (IMAGE, WIDE)},
        correlation=FAR_CORRELATION,
        opset=17,
    ),
    Case(
        "pixels",
        "y = ReduceSum<keepdims=0>(x, a)",
        {"x": (IMAGE, WIDE)},
        correlation=FAR_CORRELATION,
        constants={"a": whole(2, 3)},
    ),
    Case(
        "channels",
        "y = ReduceSum<keepdims=1>(x, a)",
        {"x": (POINTS, WIDE)},
        constants={"a": whole(1)},
    ),
    Case(
        "channels",
        "y = ReduceL2(x, a)",
        {"x": (LOGITS, LOGIT)},
        2e-2,
        2e-2,
        constants={"a": whole(1)},
    ),
    Case(
        "space",
        "y = ReduceL2<keepdims=0>(x, a)",
        {"x": (IMAGE, WIDE)},
        0.05,
        0.05,
        constants=SPACE,
        correlation=FAR_CORRELATION,
    ),
    layer("nearest", "y = Resize(x, , s)", s=floats(1, 1, 2, 2)),
    # Interpolation averages neighbours; the rule takes pixels as they are.
    layer("linear", 'y = Resize<mode="linear">(x, , s)', s=floats(1, 1, 2, 2), std=0.2),
    # The sum of the terms is taken as a constant, which holds for many terms or small variance.
    Case("channels", "y = Softmax<axis=1>(x)", {"x": (LOGITS, LOGIT)}, 0.03, 0.13),
    Case("space", "y = Softmax<axis=3>(x)", {"x": (IMAGE, CALM)}, 1e-3, 0.14, correlation=0),
]

PLACES = (
    "g = Slice(x, zero, two, one) t = Transpose<perm=[0,2,3,1]>(g) p = Clip(t, lo, hi) "
    'y = GridSample<mode="{}", padding_mode="border">(x, p)'
)
CUTS = {
    **{"zero": whole(0), "two": whole(2), "one": whole(1)},
    **{"lo": np.array(-1, np.float32), "hi": np.array(1, np.float32)},
}
BOXES = np.tile(floats(0, 0, 5, 5), (256, 1))
ROWS_FIRST = "t = Transpose<perm=[2,0,1,3]>(x) g = Gather<axis=0>(t, g0) u = Neg(g) "
ELEMENTS = np.tile(whole(1, 4), (256, CHANNELS, SIZE, 1))

SELECTION = [
    Case("space", "y = ReduceMax(x, a)", {"x": (IMAGE, FREE)}, 4e-2, 7e-2,
         largest_correlation(36), constants=SPACE),
    Case("a row", "y = ReduceMax<keepdims=0>(x, a)", {"x": (IMAGE, FREE)}, 4e-2, 7e-2,
         largest_correlation(6), constants={"a": whole(-1)}),
    Case("space", "y = ReduceMin(x, a)", {"x": (IMAGE, FREE)}, 4e-2, 7e-2,
         largest_correlation(36), constants=SPACE),
    Case("largest", "y, z = TopK<axis=2>(x, k)", {"x": (IMAGE, FREE)}, 4e-2, 7e-2, 0,
         constants={"k": whole(3)}),
    Case("smallest", "y, z = TopK<axis=3, largest=0>(x, k)", {"x": (IMAGE, FREE)}, 4e-2, 7e-2, 0,
         constants={"k": whole(2)}),
    layer("nearest", PLACES.format("nearest"), **CUTS, mean=0.1, std=0.1),
    layer("linear", PLACES.format("linear"), **CUTS, mean=0.1, std=0.3),
    layer("boxes", "y = RoiAlign<output_height=6, output_width=6>(x, b, k)", b=BOXES,
          k=np.arange(256), mean=0.2, std=0.3),
    layer("rows", ROWS_FIRST + "y = ScatterND(t, i, u)", g0=whole(1, 4),
          i=whole(0, 2).reshape(2, 1)),
    layer("zeros", "u = Mul(x, z) y = ScatterElements<axis=3>(x, i, n)", CENTRED, i=ELEMENTS,
          n=np.zeros(ELEMENTS.shape, np.float32), z=floats(0), mean=0.01, std=0.3),
]  # fmt: skip

CASES = [
    *ACTIVATIONS, *ARITHMETIC, *LAYERS, *MOVEMENT, *NORMS, *POOLING, *PRODUCTS, *SELECTION
]  # fmt: skip


def draws(case: Case) -> dict[str, np.ndarray]:
    """Sample every input of ``case``; the sample covariance of what is independent is zero."""
    widths = [int(np.prod(shape[1:])) + shape[1] for shape, _ in case.inputs.values()]
    rng = np.random.default_rng(SEED)
    normal = rng.permuted(np.tile(_QUANTILES, (sum(widths), 1)), axis=1)
    factor = np.linalg.cholesky(normal @ normal.T / IMAGES)
    white = np.split(np.linalg.solve(factor, normal), np.cumsum(widths)[:-1])
    return {
        name: pixels(columns.T, shape, known, case.correlation)
        for columns, (name, (shape, known)) in zip(white, case.inputs.items(), strict=True)
    }


def pixels(
    columns: np.ndarray, shape: tuple[int, ...], known: ChannelStats, correlation: float
) -> np.ndarray:
    common = columns[:, : shape[1]].reshape(*shape[:2], *(1,) * (len(shape) - 2))
    own = columns[:, shape[1] :].reshape(shape)
    unit = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    if own.size == common.size:
        unit = own
    return np.asarray(np.clip(known.mean + known.std * unit, known.low, known.high))


def on_the_bounds(case: Case) -> dict[str, np.ndarray]:
    """Images whose channels, and images whose pixels, sit on either bound."""
    rng = np.random.default_rng(SEED)
    result = {}
    for name, (shape, known) in case.inputs.items():
        low = np.maximum(known.low, known.mean - 6 * known.std)
        high = np.minimum(known.high, known.mean + 6 * known.std)
        channels = rng.random((128, shape[1], *(1,) * (len(shape) - 2))) < 0.5
        each = rng.random((128, *shape[1:])) < 0.5
        upper = np.concatenate([np.broadcast_to(channels, each.shape), each])
        result[name] = np.where(upper, high, low)
    return result


def ruled(graph: ir.Graph, case: Case) -> list[ChannelStats]:
    """Walk to the last node by the rules."""
    known = {value: case.inputs[str(value.name)][1] for value in graph.inputs}
    results: list[ChannelStats] = []
    for node in graph:
        found = RULES[node.op_type](node, [known.get(v) if v else None for v in node.inputs])
        assert found is not None, f"{node.op_type} has no statistics"
        known.update(zip(node.outputs, found, strict=False))
        results = found
    return results


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operator}: {case.name}")
def test_moments_and_bounds_are_those_of_the_operator(case: Case) -> None:
    proto = case.model()
    model = read(proto)
    expected = ruled(model.graph, case)
    run = session(proto.SerializeToString(), threads=1).run
    feeds = [
        {name: array.astype(np.float32) for name, array in batch.items()}
        for batch in (draws(case), on_the_bounds(case))
    ]
    results = [run(None, feed) for feed in feeds]
    for index, known in enumerate(expected):
        sampled, extreme = (np.asarray(result[index], np.float64) for result in results)
        same_moments(sampled, known, case)
        for array in (sampled, extreme):
            slack = 1e-5 * max(1.0, float(np.abs(array).max()))
            assert (array >= known.low - slack).all()
            assert (array <= known.high + slack).all()


def same_moments(sampled: np.ndarray, known: ChannelStats, case: Case) -> None:
    axes = tuple(axis for axis, size in enumerate(known.layout) if size == 1)
    assert sampled.ndim == len(known.layout)
    mean, std = sampled.mean(axes, keepdims=True), sampled.std(axes, keepdims=True)
    assert mean.shape == known.layout
    unit = np.maximum(std, 1e-5)
    np.testing.assert_array_less(np.abs(known.mean - mean) / unit, case.mean + 1e-9)
    np.testing.assert_array_less(np.abs(known.std - std) / unit, case.std + 1e-9)


def test_every_operator_with_a_rule_has_a_case() -> None:
    assert set(RULES) == {case.operator for case in CASES}


def rule(body: str, x: ChannelStats, size: str = "N,4,6,6", **constants: np.ndarray) -> object:
    case = Case(body, body, {"x": (IMAGE, x)}, constants=constants)
    proto = case.model()
    proto.graph.input[0].CopyFrom(
        onnx.parser.parse_graph(f"g (float[{size}] x) => (y) {{ y = Relu(x) }}").input[0]
    )
    node = next(iter(read(proto).graph))
    return RULES[node.op_type](node, [x, *[None] * (len(node.inputs) - 1)])


@pytest.mark.parametrize(
    "body",
    [
        "y = Conv<pads=[1,1,1,1]>(x, w)",
        'y = Conv<auto_pad="SAME_UPPER">(x, w)',
        "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)",
    ],
)
def test_bounds_hold_the_padding_of_a_map_of_any_size(body: str) -> None:
    found = rule(body, ABOVE, "N,4,H,W", w=np.ones((1, 4, 3, 3), np.float32))
    assert isinstance(found, list)
    assert (found[0].low <= 0).all()


@pytest.mark.parametrize(
    "body",
    [
        "y = Conv(x, w)",
        "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)",
        "y = AveragePool<kernel_shape=[2,2]>(x)",
        "y = GlobalAveragePool(x)",
        "y = Resize(x, , s)",
    ],
)
def test_statistics_that_differ_between_positions_are_joined(body: str) -> None:
    rng = np.random.default_rng(SEED)
    mean = rng.normal(size=(1, 4, 6, 6))
    varied = stats(mean, 0.04, mean - 1, mean + 1)
    alike = stats(mean.mean((2, 3), keepdims=True), 0.04 + mean.var((2, 3), keepdims=True))
    found, expected = (
        rule(body, x, w=weights(5, 4, 3, 3), s=floats(1, 1, 2, 2)) for x in (varied, alike)
    )
    assert isinstance(found, list)
    assert isinstance(expected, list)
    assert found[0].layout == expected[0].layout
    np.testing.assert_allclose(found[0].mean, expected[0].mean)
    np.testing.assert_allclose(found[0].var, expected[0].var)
    if body == "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)":
        np.testing.assert_array_equal(found[0].low, mean.min((2, 3), keepdims=True) - 1)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("y = Conv(x, x)", "4,4,1,1"),
        ("y = Gemm(x, w)", "4,4"),
        ("y = Gemm<transB=1, alpha=2.0>(x, w)", "4,4"),
        ("y = Gemm<transA=1, transB=1>(x, w)", "4,4"),
        ("y = Gemm<transB=1>(x, w, two)", "4,4"),
        ("y = Cast<to=7>(x)", "4,4"),
        ("y, i = MaxPool<kernel_shape=[2,2]>(x)", "4,4,6,6"),
    ],
)
def test_forms_outside_a_rule_are_unknown(body: str, size: str) -> None:
    x = per_channel(np.zeros(4), 1.0, rank=size.count(",") + 1)
    found = rule(
        body,
        x,
        size,
        w=weights(4, 4),
        two=weights(4, 4),
        a=whole(1, 2),
        s=whole(0, -1),
    )
    assert found is None


def test_axes_of_a_tensor_of_unknown_rank_are_unknown() -> None:
    node = ir.node("ReduceMean", [ir.Value(name="x")], {"axes": [-1]})
    assert reduced_axes(node) is None


def test_axes_that_stand_twice_count_once() -> None:
    node = ir.node("ReduceMean", [ir.Value(name="x", shape=ir.Shape([1, 2, 3]))], {"axes": [2, -1]})
    assert reduced_axes(node) == (2,)
