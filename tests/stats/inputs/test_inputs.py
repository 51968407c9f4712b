"""What the input is taken to be: the options, the first BatchNormalization, or the usual."""

import numpy as np
import onnx
import pytest

import spiq
from small_networks import bn, build, norm, trained
from spiq.config import Config
from spiq.errors import WARNING, ConfigError
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.channel import ChannelStats
from spiq.stats.input_axis import channel_axis
from spiq.stats.inputs.conventions import CONVENTIONS, Convention
from spiq.stats.inputs.ends import shown_ends, widened
from spiq.stats.inputs.judge import judge
from spiq.stats.inputs.known import input_stats
from spiq.stats.inputs.moments import infer_moments
from spiq.stats.propagate import measure

BODY = "[c1] c1 = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1) " + bn("c1", "n1") + "[r] y = Relu(n1)"
TURNED = "[t] t = Transpose<perm=[0,3,1,2]>(x) " + BODY.replace("(x, w1)", "(t, w1)")
SIZE = "float[N,3,48,48] x"


def network(low: float, high: float, *, body: str = BODY, inputs: str = SIZE, seed: int = 0,
            w1: np.ndarray | None = None) -> onnx.ModelProto:  # fmt: skip
    """A first layer whose BatchNormalization saw dead leaves between ``low`` and ``high``."""
    weight = smooth(seed) if w1 is None else w1
    model = build(body, inputs=inputs, w1=weight, **norm("n1", 24))
    return trained(model, 16, low, high)


def smooth(seed: int) -> np.ndarray:
    """Return kernels as training leaves them: more colour and slow change than noise."""
    rng = np.random.default_rng(seed)
    flat = rng.standard_normal((24, 3, 1, 1)) + rng.standard_normal((24, 1, 1, 1))
    slopes = rng.standard_normal((24, 3, 3, 1)) + rng.standard_normal((24, 3, 1, 3))
    return (flat + 0.3 * slopes).astype(np.float32)


def known(
    model: onnx.ModelProto, config: Config | None = None
) -> tuple[ChannelStats, str, Prepared]:
    prepared = prepare(read(model))
    found, notes = input_stats(prepared, config or Config())
    assert list(found) == ["x"] and len(notes) == 1
    return found["x"], notes[0], prepared


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda c: c.name)
def test_convention_is_found_in_the_first_batchnorm(convention: Convention, seed: int) -> None:
    model = network(convention.low, convention.high, seed=seed)
    found, note, prepared = known(model)
    verdict = judge(prepared)["x"]
    assert verdict.best.distance(convention.mean, convention.std) < 0.3
    assert verdict.best.name in note and "--input-range" in note and "to 1 over" in note
    assert found.source == "input" and found.layout == (1, 3, 1, 1)
    assert np.unique(found.low).tolist() == [verdict.best.low]
    assert (found.low < found.mean).all() and (found.mean < found.high).all()
    wide = widened({"x": found}, {"x": verdict})["x"]
    assert wide.low.max() <= 0.97 * convention.low and wide.high.min() >= 0.9 * convention.high


def test_moments_are_nearly_those_of_the_pixels() -> None:
    for low, high in ((0, 1), (-1, 1), (0, 255)):
        model = network(low, high)
        prepared = prepare(read(model))
        moments = infer_moments(prepared.model.graph.inputs[0], prepared)
        assert moments is not None
        mean, std = moments
        span = high - low
        assert abs(mean - (low + 0.5 * span)) < 0.15 * span
        assert 0.5 < std / (0.27 * span) < 2


def test_bias_before_the_batchnorm_is_taken_into_account() -> None:
    body = BODY.replace("(x, w1)", "(x, w1, b1)")
    model = build(body, inputs=SIZE, w1=(24, 3, 3, 3), b1=(24,), **norm("n1", 24))
    assert "from 0 to 255" in known(trained(model, 16, 0, 255))[1]


def test_image_that_is_transposed_first() -> None:
    model = network(0, 255, body=TURNED, inputs="float[N,48,40,3] x")
    found, note, _ = known(model)
    assert found.layout == (1, 1, 1, 3)
    assert "from 0 to 255" in note


def test_range_of_no_convention_is_taken_from_the_moments() -> None:
    found, note, _ = known(network(0, 5000))
    assert "assumed, from the mean" in note
    assert found.high.max() > 1500


@pytest.mark.parametrize(
    "body",
    ["[c1] y = Conv(x, w1)", "[s] s = Sigmoid(x) [c1] y = Conv(s, w1)"],
    ids=["no BatchNormalization", "read by another operator"],
)
def test_without_a_statement_imagenet_is_assumed(body: str) -> None:
    found, note, prepared = known(build(body, inputs=SIZE, w1=(8, 3, 3, 3)))
    assert infer_moments(prepared.model.graph.inputs[0], prepared) is None
    assert note.startswith(WARNING) and "assumed pixels normalized by ImageNet's" in note
    assert found.low.min() == -2.118


@pytest.mark.parametrize("weight", [0.0, 1e-30])
def test_dead_first_layer_tells_nothing(weight: float) -> None:
    model = network(0, 1, w1=np.full((24, 3, 3, 3), weight, np.float32))
    found, _, _ = known(model)
    assert np.isfinite(found.mean).all() and np.isfinite(found.var).all()


def test_given_range() -> None:
    found, note, _ = known(network(0, 255), Config(input_range=((-3, 5),)))
    assert (found.low == -3).all() and (found.high == 5).all() and found.low.size == 3
    assert "as given" in note
    found, _, _ = known(network(0, 255), Config(input_range=((-3, 5), (0, 1), (-2, 2))))
    assert found.low.reshape(-1).tolist() == [-3, 0, -2]
    assert found.high.reshape(-1).tolist() == [5, 1, 2]


@pytest.mark.parametrize(
    ("mean", "std", "top"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1),
        ((0.5,), (0.5,), 1),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 255),
        ((127.5,), (128.0,), 255),
        ((0.0,), (255.0,), 255),
        ((103.94, 116.78, 123.68), (1.0, 1.0, 1.0), 255),
    ],
)
def test_given_mean_and_std(mean: tuple[float, ...], std: tuple[float, ...], top: int) -> None:
    found, note, _ = known(network(0, 1), Config(input_mean=mean, input_std=std))
    m, s = np.broadcast_to(mean, 3), np.broadcast_to(std, 3)
    np.testing.assert_allclose(found.low.reshape(-1), -m / s, atol=1e-12)
    np.testing.assert_allclose(found.high.reshape(-1), (top - m) / s)
    assert f"pixels 0..{top}" in note


@pytest.mark.parametrize(
    "config",
    [
        Config(input_range=((0, 1), (0, 1))),
        Config(input_mean=(0.5, 0.5), input_std=(0.5, 0.5)),
        Config(input_mean=(0.5,), input_std=(0.5,) * 4),
        Config(input_mean=(0.5,) * 4, input_std=(0.5,)),
    ],
)
def test_wrong_number_of_channels(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"input 'x' has 3 channels: give 1 or 3"):
        known(network(0, 1), config)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_mean": (0.5,)}, "belong together"),
        ({"input_std": (0.5,)}, "belong together"),
        ({"input_mean": (0.5,), "input_std": (0.0,)}, "positive"),
        ({"input_mean": (0.5,), "input_std": (1.0,), "input_range": ((0, 1),)}, "not both"),
        ({"input_range": ((1, 1),)}, "lesser"),
        ({"input_range": ((2, 1),)}, "lesser"),
        ({"input_range": ((0, np.nan),)}, "finite"),
        ({"input_range": ()}, "input_range"),
        ({"input_mean": (), "input_std": ()}, "input_mean"),
        ({"input_range": ((0, np.inf),)}, "finite"),
        ({"input_mean": (np.nan,), "input_std": (1.0,)}, "finite"),
        ({"input_mean": (0.0,), "input_std": (np.inf,)}, "finite"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Config(**options)


def test_other_inputs_are_left_alone() -> None:
    model = build("[c] a = Conv(x, w) [g] b = Gather(t, i) [m] y = Mul(a, b)",
                  inputs="float[1,3,8,8] x, int64[] i, float[4] t", w=(4, 3, 1, 1))  # fmt: skip
    prepared = prepare(read(model))
    found, notes = input_stats(prepared, Config())
    assert list(found) == ["x"] and len(notes) == 1


def test_flat_and_dynamic_inputs() -> None:
    found, _ = input_stats(
        prepare(read(build("[g] y = Gemm<transB=1>(x, w)", inputs="float[N,7] x", w=(4, 7)))),
        Config(),
    )
    assert found["x"].layout == (1, 7)
    body = "[p] p = Slice(x, start, end, axis) [c] y = Conv(p, w)"
    ends = {"start": np.array([0]), "end": np.array([3]), "axis": np.array([1])}
    model = build(body, inputs="float[N,C,H,W] x", w=(4, 3, 1, 1), **ends)
    assert input_stats(prepare(read(model)), Config())[0]["x"].layout == (1, 1, 1, 1)


def test_kernels_that_sum_to_zero_tell_no_mean() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    weight -= weight.mean(axis=(1, 2, 3), keepdims=True)
    model = build("c = Conv(x, w) " + bn("c", "y"), w=weight, **norm("y", 8))
    prepared = prepare(read(model))
    assert infer_moments(prepared.model.graph.inputs[0], prepared) is None


def test_a_picture_without_a_batch_has_its_channels_first() -> None:
    """As torchvision's detectors take them, in a list."""
    body = "[u] u = Unsqueeze(x, first) " + BODY.replace("(x, w1)", "(u, w1)")
    model = build(
        body, inputs="float[3,48,48] x", w1=smooth(0), first=np.array([0]), **norm("n1", 24)
    )
    found, note, _ = known(model, Config(input_range=((0, 1), (0, 2), (0, 3))))
    assert found.layout == (3, 1, 1) and found.high.reshape(-1).tolist() == [1, 2, 3]
    assert "as given" in note
    assert "assumed" in known(model)[1] and known(model)[0].layout == (3, 1, 1)


@pytest.mark.parametrize(
    ("body", "shape", "axis"),
    [
        ("y = MatMul(x, w)", "N,12,16", 2),
        ("n = LayerNormalization(x, g) y = MatMul(n, w)", "N,12,16", 2),
        ("t = Transpose<perm=[0,2,1]>(x) y = MatMul(t, w)", "N,16,12", 1),
        ("y = Conv(x, k)", "N,16,12", 1),
        ("f = Reshape(x, frames) y = Conv(f, k4)", "1,8,3,16,16", 2),
        ("f = Reshape(x, joined) y = Conv(f, k24)", "1,8,3,16,16", 1),
        ("u = Unsqueeze(x, last) t = Transpose<perm=[0,3,1,2]>(u) y = Conv(t, k1)", "N,24,16", 0),
    ],
    ids=[
        "tokens",
        "normalized tokens",
        "turned tokens",
        "a signal",
        "films",
        "frames joined",
        "a spectrogram that Keras gave a channel",
    ],
)
def test_where_the_channels_of_an_input_are(body: str, shape: str, axis: int) -> None:
    """Tokens used to be taken for signals of as many channels as there are tokens."""
    shapes = {
        "w": (16, 4), "k": (4, 16, 3), "g": (16,), "k4": (4, 3, 3, 3), "k24": (4, 24, 3, 3),
        "k1": (4, 1, 3, 3), "last": np.array([3]),
        "frames": np.array([-1, 3, 16, 16]), "joined": np.array([1, -1, 16, 16]),
    }  # fmt: skip
    used = {name: size for name, size in shapes.items() if f", {name})" in body}
    model = build(body, inputs=f"float[{shape}] x", **used)
    assert channel_axis(prepare(read(model)).model.graph.inputs[0]) == axis


def test_a_fourth_channel_may_be_anything() -> None:
    model = build("[c] y = Conv(x, w, b)", inputs="float[1,4,8,8] x", w=(8, 4, 3, 3),
                  b=np.full(8, 0.1, np.float32))  # fmt: skip
    (note,) = input_stats(prepare(read(model)), Config())[1]
    assert note.startswith("warning: input 'x': assumed")
    assert note.endswith("its 4 channels were taken for alike")


@pytest.mark.parametrize("kind", ["float", "float16"])
def test_what_is_no_picture_is_shown_as_much_as_pictures_would_fill(kind: str) -> None:
    """Half precision was shown the whole range."""
    array = np.float16 if kind == "float16" else np.float32
    weights = {"w": np.ones((4, 7), array), "b": np.ones(4, array)}
    body = "[g] y = Gemm<transB=1>(x, w, b)"
    model = build(body, inputs=f"{kind}[N,7] x", outputs=f"{kind}[N,4] y", **weights)
    prepared = prepare(read(model))
    found, _ = input_stats(prepared, Config())
    low, high = shown_ends(prepared, found)["x"]
    assert ((high - low) < 0.5 * (found["x"].high - found["x"].low)).all()


FLAT = "[p] p = Reshape(x, image) " + BODY.replace("(x, w1)", "(p, w1)")
SAME = "[p] p = Reshape(x, pixels) " + TURNED.replace("(x)", "(p)")
IMAGE, PIXELS = np.array([-1, 3, 48, 48]), np.array([-1, 48, 48, 3])


@pytest.mark.parametrize(
    ("body", "size"),
    [(FLAT, "float[N,6912] x"), (SAME, "float[N,48,48,3] x")],
    ids=["rows of pixels", "to the same shape"],
)
def test_a_reshape_in_front_of_the_first_layer(body: str, size: str) -> None:
    """The first layer stayed in float, and the input was taken for numbers around 0."""
    plain = network(0, 255)
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in plain.graph.initializer}
    target = {"image": IMAGE} if body is FLAT else {"pixels": PIXELS}
    found, _, prepared = known(build(body, inputs=size, **arrays, **target))
    measured = measure(prepared, {"x": found}).stats
    layer = next(node for node in prepared.model.graph if node.op_type == "Conv")
    assert layer.inputs[0] in measured
    assert 80 < found.mean.mean() < 160 and 40 < found.std.mean() < 90


@pytest.mark.parametrize("size", ["uint8[N,6912] x", "uint8[N,48,48,3] x"])
def test_bytes_in_any_shape(size: str) -> None:
    """Rows of them were a traceback."""
    plain = network(0, 255)
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in plain.graph.initializer}
    body, target = (FLAT, {"image": IMAGE}) if "6912" in size else (SAME, {"pixels": PIXELS})
    model = build(
        "[k] k = Cast<to=1>(x) " + body.replace("(x,", "(k,") + " [z] z = Conv(y, w2)",
        inputs=size, outputs="z", w2=(8, 24, 1, 1), **arrays, **target,
    )  # fmt: skip
    report = spiq.quantize(model, Config(timing=False)).report
    assert not report.float_layers and report.snr_db["z"] > 25
