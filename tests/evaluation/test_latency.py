import dataclasses
import json

import numpy as np
import onnx
import pytest

from spiq.errors import ConfigError, ModelError
from spiq.evaluation import latency


def network(inputs: str, body: str = "y = Identity (x)", output: str = "float[N] y") -> bytes:
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny ({inputs}) => ({output}) {{ {body} }}
    """
    return onnx.parser.parse_model(text).SerializeToString()


class Machine:
    """A clock, and networks that only move it."""

    def __init__(self, *costs):
        self.now, self.calls, self.drift = 0.0, [], 1.0
        self.runs = [lambda i=i, cost=cost: self.call(i, cost) for i, cost in enumerate(costs)]

    def call(self, i, cost):
        self.calls.append(i)
        self.now += cost * self.drift

    def clock(self):
        return self.now


def test_a_sample_takes_2_milliseconds_or_more():
    machine = Machine(0.0004, 0.003, 0.002)
    calls, rounds = latency.plan(machine.runs, rounds=10, seconds=60, clock=machine.clock)
    assert calls == (5, 1, 1) or calls == (6, 1, 1)  # 0.002 / 0.0004 is not exact
    assert rounds == 10


def test_rounds_fit_in_the_seconds():
    machine = Machine(0.25)
    # A round is one sample of one call and one call before it: half a second.
    plans = {
        seconds: latency.plan(machine.runs, rounds=40, seconds=seconds, clock=machine.clock)
        for seconds in (1, 10, 100)
    }
    assert plans == {1: ((1,), 5), 10: ((1,), 20), 100: ((1,), 40)}
    assert latency.plan(machine.runs, rounds=3, seconds=1, clock=machine.clock) == ((1,), 3)


def test_networks_take_turns_and_the_order_rotates():
    machine = Machine(1.0, 2.0, 4.0)
    seen = []

    def progress(done, total):
        seen.append((done, total))

    times = latency.measure(
        machine.runs, calls=(2, 1, 1), rounds=3, progress=progress, clock=machine.clock
    )
    rounds = [[0, 0, 0, 1, 1, 2, 2], [1, 1, 2, 2, 0, 0, 0], [2, 2, 0, 0, 0, 1, 1]]
    assert machine.calls == [i for calls in rounds for i in calls]
    assert times.tolist() == [[1.0, 2.0, 4.0]] * 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_medians_are_of_the_same_rounds_so_drift_does_not_matter():
    rng = np.random.default_rng(3)
    first = rng.uniform(1, 10, 50)
    estimate = latency.times_as_fast(0.5 * first, first)
    assert dataclasses.astuple(estimate) == pytest.approx((2, 2, 2))


def test_the_bootstrap_interval():
    rng = np.random.default_rng(4)
    first = np.ones(101)
    times = 2 + 0.1 * rng.standard_normal(101)
    estimate = latency.times_as_fast(times, first)
    assert estimate == latency.times_as_fast(times, first)
    assert estimate.value == 1 / np.median(times)
    # The order statistics whose ranks enclose the median with 95 % by the binomial distribution.
    low, high = 1 / np.sort(times)[[60, 40]]
    assert estimate.low == pytest.approx(low, abs=0.01)
    assert estimate.high == pytest.approx(high, abs=0.01)
    assert estimate.low < estimate.value < estimate.high


def test_compare_runs_real_sessions():
    model = network("float[N,3] x", output="float[N,3] y")
    seen = []
    result = latency.compare(
        [model, model], rounds=4, batch=2, progress=lambda done, total: seen.append((done, total))
    )
    assert (result.rounds, result.threads, result.batch) == (4, 1, 2)
    assert [score.model for score in result.models] == ["model 1", "model 2"]
    first, second = result.models
    assert first.times_as_fast is None
    assert second.times_as_fast.value == pytest.approx(first.median_ms / second.median_ms)
    for score in result.models:
        assert 0 < score.median_ms <= score.p90_ms and score.calls_per_round >= 1
    assert seen == [(i, 4) for i in range(1, 5)]
    json.dumps(dataclasses.asdict(result), allow_nan=False)


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("float[N,3] x, float16[N] a", "b = Cast <to = 1> (a) y = ReduceSum <keepdims = 0> (b)"),
        ("double[2] x", "y = Cast <to = 1> (x)"),
        ("uint8[N,3] x", "y = Cast <to = 1> (x)"),
        ("int8[N,3] x", "y = Cast <to = 1> (x)"),
        ("bool[N] x", "y = Cast <to = 1> (x)"),
        ("int64[N] x, float[4,1] table", "y = Gather (table, x)"),
        ("float x", "y = Identity (x)"),
    ],
    ids=["float16", "double", "uint8", "int8", "bool", "index", "scalar"],
)
def test_inputs_of_every_type(inputs, body):
    shapes = {"x": (2,)} if "double" in inputs else None
    model = network(inputs, body, output="float y")
    batch = 4 if "table" in inputs else 1
    assert latency.compare([model], rounds=1, batch=batch, shapes=shapes).rounds == 1


def test_shapes_fill_dynamic_dimensions():
    model = network("float[N,3,H,W] x", output="float[N,3,H,W] y")
    with pytest.raises(
        ConfigError,
        match=r"model 1: input 'x' .* dimension 2 \(H\) is dynamic: .* --shape x=1,3,H,W",
    ):
        latency.compare([model])
    assert latency.compare([model], rounds=1, shapes={"x": (1, 3, 4, 5)}).rounds == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": {"z": (1, 3)}}, "shapes names z, but its inputs are x"),
        ({"shapes": {"x": (1, 4)}}, r"which \(1, 4\) does not fit"),
        ({"shapes": {"x": (1,)}}, "does not fit"),
        ({"batch": 2}, r"which \(2, 3\) does not fit: change shapes or batch"),
        ({"batch": 0}, "batch 0.* above 0"),
        ({"rounds": 0}, "rounds 0"),
        ({"seconds": 0}, "seconds 0"),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        latency.compare([network("float[1,3] x", output="float[1,3] y")], **options)


def test_refuses_networks_that_do_not_run():
    with pytest.raises(ConfigError, match="0 models"):
        latency.compare([])
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        latency.compare(["absent.onnx"])
    with pytest.raises(ModelError, match=r"input 'x' is tensor\(string\)"):
        latency.compare([network("string[1] x", output="string[1] y")])
    failing = "shape = Constant <value = int64[2] {-1, 7}> () y = Reshape (x, shape)"
    with pytest.raises(ModelError, match="model 1: ONNX Runtime cannot run it"):
        latency.compare([network("float[N,3] x", failing, output="float[N,7] y")])


def test_rows_per_second_are_those_of_the_whole_batch():
    (score,) = latency.compare([network("float[N] x")], batch=8, rounds=2, seconds=0.1).models
    assert score.per_second == pytest.approx(8e3 / score.median_ms)
