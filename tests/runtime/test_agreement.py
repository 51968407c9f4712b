"""What is said of an output's signal-to-noise ratio: near the truth, with an honest interval."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, run, trained
from spiq import Config, quantize
from spiq.errors import WARNING
from spiq.runtime.agreement import SHIFT_DB, Agreement, agreement, agreements, doubtful
from spiq.runtime.snr import Energy, snr_db

BODY = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
    "[c2] c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(r1, w2) "
    + bn("c2", "n2")
    + "[r2] r2 = Relu(n2) "
    "[p] p = GlobalAveragePool(r2) [f] f = Flatten(p) [g] y = Gemm(f, w3, b)"
)


def classifier(logits: int, seed: int) -> onnx.ModelProto:
    """Return a network whose few logits have means far larger than their deviations."""
    shapes = {"w1": (8, 3, 3, 3), "w2": (16, 8, 3, 3), "w3": (16, logits)}
    offset = np.linspace(-20, 20, logits).astype(np.float32)
    inputs = "float[N,3,32,32] x"
    norms = {**norm("n1", 8), **norm("n2", 16)}
    return trained(build(BODY, inputs=inputs, seed=seed, b=offset, **shapes, **norms))


def warnings(notes: Sequence[str]) -> list[str]:
    return [note for note in notes if note.startswith(WARNING) and "SNR" in note]


@pytest.mark.parametrize("seed", range(3))
def test_few_logits_get_a_figure_near_the_truth_and_no_alarm(seed: int) -> None:
    """Each of them varies far less than they differ from one another: not even that is hidden."""
    model = classifier(2, seed)
    result = quantize(model, Config(input_range=((-2.118, 2.640),)))
    feed = images_for(model, images=64)
    truth = snr_db(run(model, feed)["y"], run(result.model, feed)["y"])
    low, high = result.report.snr_interval_db["y"]
    assert low - 3 < truth < high + 3
    assert low < result.report.snr_db["y"] < high
    assert not warnings(result.report.notes)


def test_a_poor_quantization_warns_and_names_the_output() -> None:
    body = "[c1] c1 = Conv(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) [c2] y = Conv(r, w2)"
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3)}
    model = trained(build(body, inputs="float[1,3,16,16] x", **shapes, **norm("n1", 8)))
    poor = quantize(model, Config(weight_bits=2, activation_bits=3)).report
    (warning,) = warnings(poor.notes)
    assert "output 'y' has an SNR of about" in warning and "--exclude" in warning
    assert not warnings(quantize(model).report.notes)


def parts(*signals: float, noise: float | tuple[float, ...] = 0.01) -> list[Energy]:
    """Return the sums of batches of these deviations, about a mean of 5, and of these errors."""
    wave, noises = np.resize([1.0, -1.0], 100), np.broadcast_to(noise, len(signals))
    return [Energy.of(5 + s * wave, 5 + s * wave + n) for s, n in zip(signals, noises, strict=True)]


def found(*signals: float, noise: float | tuple[float, ...] = 0.01) -> Agreement:
    made = agreement(parts(*signals, noise=noise))
    assert isinstance(made, Agreement)
    return made


def test_what_only_one_kind_of_picture_moves_is_known_less() -> None:
    spread, rare = found(1, 1, 1, 1), found(2, 0, 0, 0)
    assert spread.db == pytest.approx(40 + SHIFT_DB)
    assert rare.db == pytest.approx(spread.db)
    assert rare.low < spread.low < spread.db < spread.high < rare.high


def test_one_kind_of_picture_with_nearly_all_of_the_error_is_not_the_measure_of_all() -> None:
    even, uneven = found(1, 1, 1, 1), found(1, 1, 1, 1, noise=(0.0199, 0.001, 0.001, 0.001))
    assert even.db + 5 < uneven.db < even.db + 12
    assert uneven.db - uneven.low > even.db - even.low
    assert uneven.high - uneven.db > even.high - even.db


def test_an_output_that_only_that_kind_moves_has_its_error_there() -> None:
    errors = (0.0199, 0.001, 0.001, 0.001)
    assert found(2, 0, 0, 0, noise=errors).db == pytest.approx(found(2, 0, 0, 0).db, abs=0.1)


def test_kinds_without_any_error_do_not_make_it_exact() -> None:
    assert found(1, 1, 1, 1, noise=(0.02, 0, 0, 0)).db < 55


def test_equal_answers_are_exact() -> None:
    assert agreement(parts(1, 1, noise=0)) == Agreement(200, 200, 200)


def test_figures_end_at_200() -> None:
    made = found(1, 1, noise=1.2e-10)
    assert made.low < made.db <= made.high == 200


def test_what_has_no_ratio_says_why() -> None:
    moving, flat = np.array([1.0, 2.0]), np.ones(2)
    expected = [
        {"flat": flat, "found": moving, "empty": np.ones(0), "index": np.array([1]), "y": moving},
        {"flat": flat, "found": moving, "empty": np.ones(0), "index": np.array([1]), "y": flat},
    ]
    actual = [expected[0], {**expected[1], "found": np.ones(3)}]
    assert agreements(expected, actual) == {
        "flat": "it is constant",
        "found": "its size depends on what is found",
        "empty": "it is empty",
        "y": Agreement(200, 200, 200),
    }


def test_several_poor_outputs_are_one_warning_that_names_the_worst() -> None:
    poor = {"a": Agreement(12, 8, 18), "b": Agreement(5, 1, 11), "c": Agreement(30, 26, 36)}
    (said,) = doubtful(poor)
    assert said.startswith("output 'b' has an SNR of about 5 dB (1 to 11), and 1 more may be so")
    assert not doubtful({"c": poor["c"]})


def test_what_only_may_be_poor_is_not_called_poor() -> None:
    """16 dB (9 to 24) were said to be under 10 dB."""
    open_ones = {"a": Agreement(16, 9, 24), "b": Agreement(30, 26, 36)}
    (said,) = doubtful(open_ones)
    assert (
        "'a' has an SNR of about 16 dB (9 to 24), but may have under 10 dB: answers would" in said
    )
    (said,) = doubtful({**open_ones, "b": Agreement(17, 9.5, 25)})
    assert "but may have under 10 dB, as may 1 more: answers would suffer; see which" in said
