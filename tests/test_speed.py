"""The result is timed, and what is faster in float goes back; the faster one is taken."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest

import spiq
from small_networks import bn, build, norm, trained
from spiq import pipeline, speed
from spiq.config import Config
from spiq.errors import ConfigError, VerificationError
from spiq.planning.choose import decide
from spiq.planning.choose.cut import Measured
from spiq.planning.choose.structure import Structure
from spiq.run import Run
from spiq.runtime.timing import Raced, take_turns

SIDE = 64


def network() -> onnx.ModelProto:
    body = (
        "[a] a = Conv<pads=[1,1,1,1]>(x, wa) " + bn("a", "n") + "r = Relu(n) "
        "[b] b = Conv<pads=[1,1,1,1]>(r, wb) " + bn("b", "m") + "s = Relu(m) "
        "[c] y = Conv(s, wc)"
    )
    weights = {"wa": (16, 3, 3, 3), "wb": (32, 16, 3, 3), "wc": (8, 32, 1, 1)}
    side = f"float[1,3,{SIDE},{SIDE}] x"
    return trained(build(body, inputs=side, **weights, **norm("n", 16), **norm("m", 32)))


def raced(*milliseconds: float) -> Raced:
    """Return what is measured where the float network takes a millisecond, and nobody is busy."""
    return Raced(np.tile(np.array([1.0, *milliseconds]) / 1e3, (6, 1)))


@pytest.fixture
def a_is_slow(monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    """Kernels of layer a take longer on integers, whatever the machine."""
    asked: list[Measured] = []

    def answer(structure: Structure, measured: Measured, slack: float, **_: float) -> list[str]:
        asked.append(measured)
        return ["a"]

    monkeypatch.setattr(speed, "given_back", answer)
    return asked


@pytest.mark.parametrize(
    ("first", "second", "left"), [(1.2, 0.8, {"a": speed.REASON}), (0.9, 0.95, {})]
)
def test_the_faster_one_is_taken(
    first: float,
    second: float,
    left: Mapping[str, str],
    a_is_slow: list[Measured],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([raced(first), raced(first, second)])
    monkeypatch.setattr(speed, "race", lambda *args, **options: next(answers))
    result = spiq.quantize(network(), Config(timing=True))
    assert result.plan.left_in_float == left
    assert result.report.latency == raced(min(first, second)).latency(1)
    # both were measured: every layer, in float and on integers
    assert {"a", "b", "c"} <= set(a_is_slow[0].on_integers)
    assert len(a_is_slow[0].in_float) >= 3
    assert max(a_is_slow[0].elements.values()) >= 16 * SIDE * SIDE


def test_more_goes_back_while_the_result_may_be_slower_than_float(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def answer(*_: object, kept: float = 0.5, **__: float) -> list[str]:
        asked.append(kept)
        return {0.5: ["a"], 0.25: ["a", "b"], 0.0: ["a", "b", "c"]}[kept]

    answers = iter([raced(1.5), raced(1.5, 1.2), raced(1.2, 0.9)])
    monkeypatch.setattr(speed, "given_back", answer)
    monkeypatch.setattr(speed, "race", lambda *args, **options: next(answers))
    result = spiq.quantize(network(), Config(timing=True))
    assert set(result.plan.left_in_float) == {"a", "b"}
    assert result.report.latency == raced(0.9).latency(1)
    assert set(asked) == {0.5, 0.25}  # what is no slower is left alone


@pytest.mark.parametrize(("typical", "left"), [(1.09, set()), (1.0, {"a", "b"})])
def test_integers_stay_where_fewer_are_hardly_faster_and_it_cannot_be_told(
    typical: float, left: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {0.5: [], 0.25: ["a"], 0.0: ["a", "b"]}
    busy = Raced(np.array([[1.0, 1.1, typical], [1.0, 1.1, 0.8], [1.0, 1.1, 1.3]] * 3) / 1e3)
    answers = iter([raced(1.1), busy, busy])
    monkeypatch.setattr(speed, "given_back", lambda *_, kept=0.5, **__: names[kept])
    monkeypatch.setattr(speed, "race", lambda *args, **options: next(answers))
    result = spiq.quantize(network(), Config(timing=True))
    assert set(result.plan.left_in_float) == left
    assert result.report.latency == busy.latency(2 if left else 1)


class Machine:
    """A clock, and networks that take so long, in milliseconds, more while others are busy."""

    def __init__(self, *milliseconds: float, busy: float = 0.0) -> None:
        self.now, self.rounds, self.busy = 0.0, 0, busy
        self.chance = np.random.default_rng(0)
        self.runs = [lambda ms=ms: self.take(ms) for ms in milliseconds]

    def take(self, milliseconds: float) -> None:
        others = self.busy * self.chance.exponential() * milliseconds
        self.now += (milliseconds + others) / 1e3
        self.rounds += milliseconds == 10.0  # the float network, whenever it runs

    def race(self, limit: float) -> Raced:
        told = partial(speed.is_told, limit=limit)
        return take_turns(self.runs, seconds=0.4, told=told, clock=lambda: self.now)


def test_on_a_quiet_machine_time_decides() -> None:
    for other, taken in ((5.0, True), (5.1, True), (5.3, False), (9.0, False)):
        found = Machine(10.0, 5.0, other).race(1.03)
        for first, second in ((20.0, 30.0), (30.0, 20.0)):  # however exact they are
            assert speed.is_better(found, first, second, limit=1.03) == taken


def test_on_a_busy_machine_a_slower_network_is_not_taken_by_chance() -> None:
    """Unpaired intervals that overlap took it here."""
    machine = Machine(10.0, 5.0, 6.5, busy=0.3)
    found = machine.race(1.03)
    assert not speed.is_better(found, 20.0, 30.0, limit=1.03)
    one, other = found.latency(1), found.latency(2)
    assert other.ratio > one.ratio


def test_as_long_as_it_cannot_be_told_there_are_more_rounds() -> None:
    quiet, busy = Machine(10.0, 5.0, 6.5), Machine(10.0, 5.0, 5.15, busy=1.0)
    quiet.race(1.03)
    found = busy.race(1.03)
    assert not speed.is_told(found, limit=1.03)
    assert busy.rounds > 2 * quiet.rounds


def test_where_it_cannot_be_told_the_more_exact_is_taken() -> None:
    found = Machine(10.0, 5.0, 5.15, busy=1.0).race(1.03)
    assert speed.is_better(found, 20.0, 20.5, limit=1.03)
    assert not speed.is_better(found, 20.5, 20.0, limit=1.03)


def test_unless_it_alone_may_be_slower_than_float() -> None:
    times = np.array([[1.0, 0.9, 0.8], [1.0, 0.9, 1.2]] * 5)
    assert not speed.is_better(Raced(times), 20.0, 30.0, limit=1.03)
    times[:, 1] = 1.05
    assert speed.is_better(Raced(times), 20.0, 30.0, limit=1.03)


@pytest.mark.parametrize(
    ("first", "other", "slack", "payable"),
    [(8, 18, 0.03, 0.1), (8, 10, 0.03, 0.03), (21, 40, 0.03, 0.03), (8, 18, 0.0, 0.0),
     (8, 18, 0.3, 0.3)],
)  # fmt: skip
def test_what_lacks_accuracy_may_cost_a_tenth(
    first: float, other: float, slack: float, payable: float
) -> None:
    found = Machine(10.0, 5.0, 5.35).race(1 + payable)
    assert speed._payable(first, other, slack) == payable
    assert speed.is_better(found, first, other, limit=1 + payable) == (payable >= 0.1)


def test_it_is_told_beside_float_where_more_may_be_paid() -> None:
    times = np.array([[1.0, 0.9, 0.9], [0.8, 0.9, 0.9], [1.2, 0.9, 0.9]] * 5)
    assert speed.is_told(Raced(times), limit=1.1)
    assert not speed.is_told(Raced(times), limit=1.1, beside_float=True)
    assert speed.is_told(Raced(times * [1.2, 1, 1]), limit=1.1, beside_float=True)


def test_but_not_the_time_of_float() -> None:
    found = Machine(5.1, 5.0, 5.35).race(1.1)
    assert not speed.is_better(found, 8.0, 18.0, limit=1.1)


def test_networks_that_take_no_time_are_not_timed(
    a_is_slow: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_TINY_MS", 2.0)
    monkeypatch.setattr(speed, "race", lambda *args, **options: raced(1.5))
    timed = spiq.quantize(network(), Config(timing=True))
    assert not a_is_slow and timed.report.latency is None
    assert timed.model == spiq.quantize(network(), Config(timing=False)).model


def test_other_methods_are_timed_as_they_are(
    a_is_slow: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "race", lambda *args, **options: raced(1.5))
    result = spiq.quantize(network(), Config(timing=True, method="static"))
    assert not a_is_slow and result.report.latency == raced(1.5).latency(1)


def test_time_that_integers_gain_pays_for_accuracy_that_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By all that lacks, or half; what is fast where that is slow, or nothing is to be paid."""
    asked: list[tuple[float, ...]] = []

    def answer(structure: Structure, measured: Measured, *paid: float) -> list[str]:
        asked.append(paid)
        return {0.1: ["a", "b"], 10**-0.5: ["b"]}[paid[1]] if len(paid) == 2 else ["a"]

    monkeypatch.setattr(speed, "given_back", answer)
    monkeypatch.setattr(speed, "_worst", lambda made: speed.ENOUGH_DB - 10)
    for prefer, times, left in (
        ("balanced", (0.7,), {"a": speed.BOUGHT, "b": speed.BOUGHT}),
        ("balanced", (0.9, 0.6), {"a": speed.REASON}),
        ("balanced", (0.9, 0.9, 0.7), {"b": speed.BOUGHT}),
        ("speed", (0.6,), {"a": speed.REASON}),
    ):
        answers = iter([raced(0.7), *(raced(0.7, time) for time in times)])
        monkeypatch.setattr(speed, "race", lambda *args, a=answers, **options: next(a))
        result = spiq.quantize(network(), Config(timing=True, prefer=prefer))
        assert result.plan.left_in_float == left
    paid = [(0.03,), (0.03, 0.1), (0.03, pytest.approx(10**-0.5))]
    assert asked == [*paid, *paid, *paid, (0.0,)]


def test_operators_without_names_are_timed_as_well(
    a_is_slow: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are inputs, too, as old files say: the runtime numbers what it joins of such."""
    monkeypatch.setattr(speed, "race", lambda *args, **options: raced(1.2, 1.0))
    body = (
        "a = Conv<pads=[1,1,1,1]>(x, wa) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, wb) "
        "s = Relu(b) y = Conv(s, wc)"
    )
    weights = {"wa": (16, 3, 3, 3), "wb": (32, 16, 3, 3), "wc": (8, 32, 1, 1)}
    model = build(body, inputs=f"float[1,3,{SIDE},{SIDE}] x", **weights)
    for node in model.graph.node:
        node.name = ""
    for tensor in model.graph.initializer:
        weight = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(weight)
    spiq.quantize(model, Config(timing=True))
    assert {"a", "b", "y"} <= set(a_is_slow[0].in_float)


def test_where_no_region_is_better_what_loses_most_is_spared_unless_that_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "given_back", lambda *args: [])
    monkeypatch.setattr(decide, "relieved", lambda *args: {"b": "loses most"})
    for second, left in ((0.7, {"b": "loses most"}), (0.9, {})):
        answers = iter([raced(0.7), raced(0.7, second)])
        monkeypatch.setattr(speed, "race", lambda *args, a=answers, **options: next(a))
        result = spiq.quantize(network(), Config(timing=True))
        assert result.plan.left_in_float == left
    assert spiq.quantize(network(), Config(timing=False)).plan.left_in_float == {"b": "loses most"}


def test_the_plan_holds_what_was_given_back(
    a_is_slow: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([raced(1.2), raced(1.2, 0.8)])
    monkeypatch.setattr(speed, "race", lambda *args, **options: next(answers))
    proto = network()
    result = spiq.quantize(proto, Config(timing=True))
    assert spiq.apply(proto, result.plan).model == result.model


def test_a_network_is_read_and_measured_once(
    a_is_slow: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([raced(1.2), raced(1.2, 0.8)])
    monkeypatch.setattr(speed, "race", lambda *args, **options: next(answers))
    steps: list[str] = []
    result = spiq.quantize(network(), Config(timing=True), progress=steps.append)
    assert result.plan.left_in_float
    assert [steps.count(step) for step in pipeline.STEPS] == [1, 1, 1, 2, 2, 2, 2, 1]


def test_without_timing_nothing_is_timed() -> None:
    result = spiq.quantize(network(), Config(timing=False))
    assert result.report.latency is None


def test_the_real_thing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_TINY_MS", 0.0)
    result = spiq.quantize(network(), Config(timing=True))
    latency = result.report.latency
    assert latency is not None and latency.ratio == pytest.approx(
        latency.int8_ms / latency.float_ms
    )
    image = np.zeros((1, 3, SIDE, SIDE), np.float32)
    assert result.run({"x": image})["y"].shape == (1, 8, SIDE, SIDE)
    assert replace(result.report, latency=None).quantized_layers >= 1


def test_pareto_trades_time_for_accuracy() -> None:
    found = spiq.pareto(network())
    assert found.on_integers.in_float == () and found.on_integers.error == pytest.approx(1)
    errors = [point.error for point in found.points]
    assert errors == sorted(errors, reverse=True)
    least = found.points[0].ms
    for point in found.points:
        assert point.ms <= (1 + point.slack) * least * 1.0001
        assert set(point.in_float) < {"a", "b", "c"}


def test_pareto_is_for_eight_bits() -> None:
    with pytest.raises(ConfigError, match="needs method spiq, 8 bits and a target that runs on"):
        spiq.pareto(network(), Config(weight_bits=4))


def test_what_cannot_be_verified_with_layers_in_float_stays_as_it_was(
    a_is_slow: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = pipeline._tried

    def refused(run: Run, config: Config, kept: Mapping[str, str], relieve: bool) -> speed.Attempt:
        if kept:
            raise VerificationError("refused")
        return tried(run, config, kept, relieve)

    monkeypatch.setattr(pipeline, "_tried", refused)
    monkeypatch.setattr(speed, "race", lambda *args, **options: raced(1.2))
    result = spiq.quantize(network(), Config(timing=True))
    assert result.report.latency == raced(1.2).latency(1) and not result.plan.left_in_float


@pytest.mark.parametrize(
    "options", [{"timing": False}, {"weight_bits": 4}, {"method": "static"}, {"target": "tensorrt"}]
)
def test_a_preference_that_nothing_would_follow_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="prefer is accuracy, which is weighed against time"):
        Config(**{"timing": True, "prefer": "accuracy", **options})  # type: ignore[arg-type]
