"""Channel scales that take time go where they bring little."""

import onnx
import pytest

from small_networks import bn, build, norm, planned, trained
from spiq.pipeline import plan
from spiq.planning.choose import given_up
from spiq.planning.choose.given_up import multiplied, work
from spiq.targets import ONNXRUNTIME


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


def bent() -> onnx.ModelProto:
    """A GELU, which has no integer kernel, between layers; channels differ 100 times."""
    body = f"[c1] c1 = Conv(x, w1) {bn('c1', 'n1')}[g] g = Gelu(n1) [c2] y = Conv(g, w2)"
    weights = {"w1": (8, 3, 1, 1), "w2": (4, 8, 1, 1)}
    return trained(build(body, opset=20, **weights, **norm("n1", 8, spread=100)))


@pytest.mark.parametrize(("spent", "stay"), [(0.0, True), (1.0, False)])
def test_what_float_operators_multiply_goes_where_it_is_little_of_all(
    spent: float, stay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "SPENT_IN_FLOAT", spent)
    monkeypatch.setattr(given_up, "PRICE", 1e9)
    tensors = plan(bent()).tensors
    assert [(tensors[name].alpha or 0) > 0 for name in ("n1", "g")] == [stay, stay]


def test_what_brings_more_than_its_time_is_worth_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_up, "SPENT_IN_FLOAT", 1.0)
    monkeypatch.setattr(given_up, "PRICE", 0.0)
    assert (plan(bent()).tensors["n1"].alpha or 0) > 0


def test_what_no_operator_in_float_touches_is_multiplied_by_nothing(quiet: onnx.ModelProto) -> None:
    _, placement, _ = planned(quiet)
    assert [multiplied([value], placement, ONNXRUNTIME) for value in placement.grids] == [0] * len(
        placement.grids
    )
