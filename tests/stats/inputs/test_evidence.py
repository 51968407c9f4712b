"""Which convention is taken: through operators in front, from biases, and with what odds."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import bn, build, norm, trained
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.channel import ChannelStats, stats
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.conventions import CONVENTIONS, Convention
from spiq.stats.inputs.ends import beyond, widened
from spiq.stats.inputs.evidence import SURE, Verdict, of_moments, weigh
from spiq.stats.inputs.first_layers import first_layers
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.known import input_stats
from spiq.stats.inputs.moments import infer_moments, moments

CONV = "[c1] c1 = Conv<pads=[1,1,1,1], strides=[2,2]>(t, w1) " + bn("c1", "n1") + "y = Relu(n1)"
SIZE = "float[N,3,48,48] x"
MEAN = np.array([123.7, 116.3, 103.5], np.float32).reshape(1, 3, 1, 1)


def kernels(seed: int = 0, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    flat = rng.standard_normal((24, channels, 1, 1)) + rng.standard_normal((24, 1, 1, 1))
    slopes = rng.standard_normal((24, channels, 3, 1)) + rng.standard_normal((24, channels, 1, 3))
    return (flat + 0.3 * slopes).astype(np.float32)


def prepared(model: onnx.ModelProto | bytes) -> Prepared:
    return prepare(read(model))


def folded(model: onnx.ModelProto) -> bytes:
    """The network as exporters write it by default."""
    return ir.to_proto(prepared(model).model).SerializeToString()


BEFORE = {
    "nothing": "[t] t = Identity(x) ",
    "Div": "[t] t = Div(x, top) ",
    "Mul, NHWC": "[a] a = Mul(x, tenth) [t] t = Transpose<perm=[0,3,1,2]>(a) ",
    "Sub and Div": "[a] a = Sub(x, mean) [t] t = Div(a, std) ",
    "mean picture": "[t] t = Sub(x, picture) ",
    "reversed Sub": "[t] t = Sub(top, x) ",
    "Neg": "[t] t = Neg(x) ",
    "channels swapped": "[t] t = Gather<axis=1>(x, swap) ",
    "Split and Concat": "[a] r, g, b = Split<axis=1>(x, ones) [t] t = Concat<axis=1>(b, g, r) ",
    "AveragePool": "[t] t = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x) ",
    "MaxPool": "[t] t = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) ",
    "Pad": '[t] t = Pad<mode="reflect">(x, pads) ',
    "Cast": "[a] a = Cast<to=10>(x) [t] t = Cast<to=1>(a) ",
    "BatchNormalization": bn("x", "t"),
}
CONSTANTS = {
    "top": np.array(255, np.float32),
    "tenth": np.array(0.1, np.float32),
    "mean": MEAN,
    "std": np.array([58.4, 57.1, 57.4], np.float32).reshape(1, 3, 1, 1),
    "picture": np.broadcast_to(MEAN, (1, 3, 48, 48)).copy(),
    "swap": np.array([2, 1, 0]),
    "ones": np.array([1, 1, 1]),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
}


def behind(operators: str) -> onnx.ModelProto:
    body = BEFORE[operators] + CONV
    needed = {name: array for name, array in CONSTANTS.items() if f"{name})" in body or
              f"({name}," in body}  # fmt: skip
    size = "float[N,48,48,3] x" if "NHWC" in operators else SIZE
    if operators == "BatchNormalization":
        needed |= norm("t", 3)
    return trained(build(body, inputs=size, w1=kernels(), **norm("n1", 24), **needed), 8, 0, 255)


@pytest.mark.parametrize("operators", BEFORE)
def test_what_lies_between_input_and_first_layer_is_followed(operators: str) -> None:
    network = prepared(behind(operators))
    [verdict] = judge(network).values()
    assert verdict.best.name == "pixels from 0 to 255"
    assert not verdict.rivals
    mean, std = infer_moments(network.model.graph.inputs[0], network) or (0.0, 0.0)
    assert abs(mean - 115) < 40 and 0.5 < std / 69 < 1.5


@pytest.mark.parametrize("operators", ["nothing", "Div", "Sub and Div", "channels swapped"])
def test_biases_tell_pixels_of_bytes_once_batchnorm_is_folded(operators: str) -> None:
    [verdict] = judge(prepared(folded(behind(operators)))).values()
    assert verdict.stated is None
    assert verdict.best.name == "pixels from 0 to 255"


@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda c: c.name)
def test_biases_tell_the_scale_for_most_networks(convention: Convention) -> None:
    found = 0
    for seed in range(3):
        model = build(CONV.replace("(t,", "(x,"), inputs=SIZE, w1=kernels(seed), **norm("n1", 24))
        bare = folded(trained(model, 4, convention.low, convention.high))
        [verdict] = judge(prepared(bare)).values()
        possible = [verdict.best, *verdict.rivals]
        found += any(1 / 6 < c.std / convention.std < 6 for c in possible)
    assert found >= 2


def test_a_layer_without_biases_leaves_it_open() -> None:
    model = build("y = Conv(x, w)", inputs=SIZE, w=kernels())
    [verdict] = judge(prepared(model)).values()
    assert len(verdict.rivals) >= 2 and not verdict.grounds


def test_evidence_adds_up() -> None:
    start = weigh([])
    told = start.and_(of_moments(0.45, 0.27), "one").and_(of_moments(0.45, 0.27), "another")
    assert told.best.name == "pixels from 0 to 1" and told.grounds == ("one", "another")
    once = start.and_(of_moments(0.45, 0.27), "one")
    assert told.runner_up[1] > once.runner_up[1] > start.runner_up[1]
    np.testing.assert_allclose(told.table - start.table, 2 * of_moments(0.45, 0.27))


def test_the_exporter_counts() -> None:
    with_habit, without = weigh([], "onnx-caffe2 "), weigh([])
    assert "caffe" in with_habit.grounds[0]
    assert "less ImageNet's mean" in with_habit.best.name
    assert without.best.name != with_habit.best.name


def test_range_holds_for_rivals_of_like_size_only() -> None:
    table = np.full((len(CONVENTIONS), 2), -50.0)
    names = [c.name for c in CONVENTIONS]
    signed, unsigned = names.index("pixels from -1 to 1"), names.index("pixels from 0 to 1")
    table[unsigned] = 0.0
    table[signed] = -1.0
    verdict = Verdict(table)
    assert [c.name for c in verdict.rivals] == ["pixels from -1 to 1"]
    assert verdict.ends == (-1.0, 1.0)
    table[names.index("pixels from 0 to 255")] = -1.0
    assert Verdict(table).ends == (-1.0, 1.0) and len(Verdict(table).rivals) == 2
    table[signed] = -SURE - 1
    assert Verdict(table).ends == (0.0, 1.0)


def test_what_its_range_holds_for_rivals_is_more_than_an_input_is_shown() -> None:
    table = np.full((len(CONVENTIONS), 2), -50.0)
    names = [c.name for c in CONVENTIONS]
    table[names.index("pixels from 0 to 1")] = 0.0
    table[names.index("pixels from -1 to 1")] = -1.0
    known = {"x": stats(0.45, 0.07, 0.0, 1.0, "input")}
    shown = {"x": (known["x"].low, known["x"].high)}
    verdicts = {"x": Verdict(table)}
    assert beyond(shown, widened(known, verdicts), verdicts) == {"x": (-1.0, 1.0)}
    assert not beyond(shown, known, verdicts)


def test_moments_are_exact_for_what_is_no_picture() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.standard_normal((64, 4, 256)), axis=2)
    x = (50 + 8 * (walk - walk.mean(2, keepdims=True)) / walk.std()).astype(np.float32)
    weight = rng.standard_normal((16, 4, 5)).astype(np.float32)
    model = build("c1 = Conv(x, w1) " + bn("c1", "n1") + "y = Relu(n1)",
                  inputs="float[N,4,256] x", w1=weight, **norm("n1", 16))  # fmt: skip
    windows = np.lib.stride_tricks.sliding_window_view(x, 5, axis=2)
    outputs = np.einsum("nclk,ock->nol", windows, weight)
    arrays = {t.name: t for t in model.graph.initializer}
    for name, moment in (("n1_m", outputs.mean((0, 2))), ("n1_v", outputs.var((0, 2)))):
        arrays[name].CopyFrom(onnx.numpy_helper.from_array(moment.astype(np.float32), name))
    network = prepared(model)
    value = network.model.graph.inputs[0]
    mean, std = moments(first_layers(value, network), pictures=False) or (0.0, 0.0)
    assert abs(mean - 50) < 1 and 0.7 < std / x.std() < 1.4
    known, notes = input_stats(network, Config())
    assert not judge(network) and "no picture" not in notes[0]
    assert known["x"].low.max() < x.min() and known["x"].high.min() > x.max()


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("float[N,7] x", "y = Gemm<transB=1>(x, w)"),
        ("float[N,7,16,16] x", "y = Conv(x, v)"),
    ],
    ids=["rank 2", "seven channels"],
)
def test_what_is_no_picture_is_not_taken_for_pixels(inputs: str, body: str) -> None:
    constants = {"w": (4, 7)} if "w)" in body else {"v": (4, 7, 3, 3)}
    network = prepared(build(body, inputs=inputs, **constants))
    known, [note] = input_stats(network, Config())
    assert not judge(network)
    assert note.startswith("warning: input 'x': no picture by its shape")
    assert known["x"].low.min() == -6 and known["x"].high.max() == 6


def test_metadata_has_no_statistics() -> None:
    model = build("[c] c = Conv(x, w) y = Mul(c, info)", inputs=f"{SIZE}, float[1,1] info",
                  w=kernels())  # fmt: skip
    known, notes = input_stats(prepared(model), Config())
    assert list(known) == ["x"] and len(notes) == 1


def test_bytes_are_certain() -> None:
    body = "[a] t = Cast<to=1>(x) " + CONV
    model = build(body, inputs="uint8[N,3,48,48] x", w1=kernels(), **norm("n1", 24))
    network = prepared(model)
    known, [note] = input_stats(network, Config())
    assert isinstance(known["x"], ChannelStats)
    assert (known["x"].low == 0).all() and (known["x"].high == 255).all()
    assert "bytes" in note and not judge(network)


@pytest.mark.parametrize(
    ("body", "axis"),
    [
        ("y = Conv(x, w)", 1),
        ("t = Transpose<perm=[0,3,1,2]>(x) y = Conv(t, w)", 3),
        ("a = Sub(x, s) t = Transpose<perm=[0,3,1,2]>(a) y = Conv(t, w)", 3),
    ],
)
def test_where_channels_are(body: str, axis: int) -> None:
    size = "float[N,3,16,16] x" if axis == 1 else "float[N,16,16,3] x"
    shift = {"s": np.ones(1, np.float32)} if "(x, s)" in body else {}
    network = prepared(build(body, inputs=size, w=(4, 3, 3, 3), **shift))
    assert channel_axis(network.model.graph.inputs[0]) == axis


def test_statements_can_be_left_out() -> None:
    network = prepared(behind("nothing"))
    layers = first_layers(network.model.graph.inputs[0], network)
    assert (
        moments(layers) is not None
        and moments([replace(layer, stated=None) for layer in layers]) is None
    )


def test_a_network_that_shifts_its_input_has_numbers_around_zero_behind() -> None:
    """Nobody takes 114 from pixels of 0 to 1; without biases or moments, nothing else tells."""
    network = build(
        "[s] s = Sub(x, mean) [c] y = Conv(s, w)",
        mean=np.full((1, 3, 1, 1), 114, np.float32), w=(8, 3, 3, 3),
    )  # fmt: skip
    verdict = judge(prepare(read(network)))["x"]
    assert verdict.best.name == "pixels from 0 to 255"
    assert "the steps in front of its first layer" in verdict.grounds


def test_of_two_that_are_as_likely_the_wider_is_taken() -> None:
    index = [one.name for one in CONVENTIONS].index
    narrow, wide = (
        index("pixels from -1 to 1"),
        index("pixels normalized by ImageNet's mean and std"),
    )
    for odds, best in ((0.4, wide), (1.5, narrow)):
        table = np.full((len(CONVENTIONS), 2), -50.0)
        table[narrow, 0], table[wide, 0] = 0, -odds
        verdict = Verdict(table)
        assert verdict.best is CONVENTIONS[best]
        other, against = verdict.runner_up
        assert other is CONVENTIONS[wide + narrow - best]
        np.testing.assert_allclose(np.log(against), -odds if best == wide else odds)
