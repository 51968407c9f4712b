"""Networks that are shown more than one picture, or none: branches that are compared, and words."""

import numpy as np

import spiq
from small_networks import build
from spiq.runtime.session import session
from spiq.runtime.synthetic import synthetic_inputs

CONV = "Conv<strides=[2,2], pads=[1,1,1,1]>"


def ratio(model: bytes, result: spiq.Quantized, feeds: list[dict[str, np.ndarray]]) -> float:
    """Signal-to-noise ratio in dB of the output 'y' over inputs, its mean removed."""
    opened = session(model)
    wanted = np.stack([opened.run(["y"], feed)[0] for feed in feeds])
    found = np.stack([result.run(feed)["y"] for feed in feeds])
    signal = np.square(wanted - wanted.mean(axis=0)).sum()
    return float(10 * np.log10(signal / np.square(found - wanted).sum()))


def test_branches_that_are_compared() -> None:
    """Both used to see the same picture, so the last layer's input was taken to be zero."""
    branch = "[c{0}] c{0} = {1}(x{0}, w) [r{0}] r{0} = Relu(c{0}) [d{0}] d{0} = {1}(r{0}, v) "
    body = "".join(branch.format(side, CONV) for side in "ab")
    body += "[d] d = Sub(da, db) [m] m = Abs(d) [h] y = Conv(m, u)"
    inputs = "float[1,3,32,32] xa, float[1,3,32,32] xb"
    model = build(body, inputs=inputs, w=(16, 3, 3, 3), v=(16, 16, 3, 3), u=(4, 16, 1, 1))
    plain = model.SerializeToString()
    result = spiq.quantize(plain, spiq.Config(input_range=((0.0, 1.0),), timing=False))
    rng = np.random.default_rng(0)
    feeds = [
        {name: rng.random((1, 3, 32, 32), np.float32) for name in ("xa", "xb")} for _ in range(4)
    ]
    assert ratio(plain, result, feeds) > 20
    assert result.report.snr_db["y"] > 15


def test_words() -> None:
    """Only index 0 used to be looked up, and ranges were those of its row."""
    body = (
        "[e] e = Gather(table, i) [t] t = Transpose<perm=[0,2,1]>(e) [c] c = Conv(t, w) "
        "[r] r = Relu(c) [m] m = ReduceMax<axes=[2], keepdims=0>(r) [h] y = Gemm(m, v)"
    )
    shapes = {"table": (100, 32), "w": (16, 32, 3), "v": (16, 4)}
    plain = build(body, inputs="int64[1,20] i", **shapes).SerializeToString()
    result = spiq.quantize(plain, spiq.Config(timing=False))
    rng = np.random.default_rng(0)
    feeds = [{"i": rng.integers(0, 100, (1, 20))} for _ in range(16)]
    assert ratio(plain, result, feeds) > 20


def test_other_inputs_are_masks_that_keep_and_drop_some() -> None:
    model = build("n = Not(m) y = Cast<to=1>(n)", inputs="bool[1,5] m, int64[1,4] k, float[1,3] z")
    made = synthetic_inputs(session(model.SerializeToString(), optimize=False))
    np.testing.assert_array_equal(made["m"], [[True, True, True, False, False]])
    np.testing.assert_array_equal(made["k"], [[0, 0, 0, 0]])  # the first row of any table
    assert made["z"].std() > 0
    ends = {"k": (np.zeros(()), np.ones(()))}
    opened = session(model.SerializeToString(), optimize=False)
    several = synthetic_inputs(opened, ends, images=8)["k"]
    assert set(several.ravel().tolist()) == {0, 1}
