"""Channel scales that a Sigmoid makes dear go where they bring little."""

import onnx
import pytest

from small_networks import bn, build, norm, planned, trained
from spiq.pipeline import plan
from spiq.planning.choose import given_up
from spiq.planning.choose.given_up import work


def gated() -> onnx.ModelProto:
    """SiLU between layers, channels differing 100 times."""
    body = (
        f"[c1] c1 = Conv(x, w1) {bn('c1', 'n1')}[g] g = Sigmoid(n1) [s] s = Mul(n1, g)"
        "[c2] y = Conv(s, w2)"
    )
    return trained(build(body, w1=(8, 3, 1, 1), w2=(4, 8, 1, 1), **norm("n1", 8, spread=100)))


def alpha(model: onnx.ModelProto) -> float:
    """How far the scales of what is gated go from one for all."""
    return plan(model).tensors["n1"].alpha or 0.0


@pytest.fixture
def quiet() -> onnx.ModelProto:
    return gated()


def test_they_stay_where_they_bring_much(quiet: onnx.ModelProto) -> None:
    assert alpha(quiet) > 0


def test_they_go_where_that_is_little_of_all(
    quiet: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "SPENT", 1.0)
    assert alpha(quiet) == 0


def test_they_stay_where_the_sigmoid_takes_no_time_to_speak_of(
    quiet: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "SPENT", 1.0)
    monkeypatch.setattr(given_up, "DEAR", 0.9)
    assert alpha(quiet) > 0


def test_work_counts_elements_and_multiplications(quiet: onnx.ModelProto) -> None:
    _, _, graph = planned(quiet)
    written = 256 * (8 + 8 + 8 + 4)
    multiplied = 256 * (3 * 8 + 8 * 4)
    assert work(graph) == pytest.approx(written + multiplied / 40)
