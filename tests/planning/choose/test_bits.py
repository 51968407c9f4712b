"""Bits of layers: the sharing of a budget, the first and last layers, mixed precision."""

import itertools
import json
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_mobilenet import model_path
from small_networks import bn, build, images_for, norm, planned, run, trained
from spiq import Config, Plan, apply, plan, quantize
from spiq.errors import ConfigError
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.choose.bits import BitCosts, reasons, share_bits
from spiq.planning.choose.mixed import bits_per_weight, packed_bytes
from spiq.planning.errors.weight_error import errors_by_bits
from spiq.runtime.snr import snr_db
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure
from spiq.targets import Weights

TRIED = range(2, 9)


def layers(seed: int, count: int = 5) -> dict[str, BitCosts]:
    rng = np.random.default_rng(seed)
    return {
        f"layer{index}": BitCosts(
            int(rng.integers(1, 200)),
            {b: float(10 ** rng.uniform(-3, 3) * 4.0**-b * rng.uniform(0.7, 1.3)) for b in TRIED},
        )
        for index in range(count)
    }


def smooth(seed: int, count: int = 5) -> dict[str, BitCosts]:
    """Layers whose error falls fourfold with each bit, as the theory has it."""
    rng = np.random.default_rng(seed)
    sizes = 10 ** rng.uniform(-3, 3, count)
    return {
        f"layer{index}": BitCosts(100, {b: float(size * 4.0**-b) for b in TRIED})
        for index, size in enumerate(sizes)
    }


def total(given: dict[str, BitCosts], bits: dict[str, int]) -> float:
    return sum(given[name].errors[count] for name, count in bits.items())


def used(given: dict[str, BitCosts], bits: dict[str, int]) -> int:
    return sum(given[name].count * count for name, count in bits.items())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mean", [2, 3.3, 5, 7.2, 8])
def test_budget_is_kept_and_nearly_used_up(seed: int, mean: float) -> None:
    given = layers(seed)
    budget = mean * used(given, dict.fromkeys(given, 1))
    bits = share_bits(given, budget)
    assert set(bits) == set(given) and all(2 <= count <= 8 for count in bits.values())
    assert used(given, bits) <= budget
    spare = budget - used(given, bits)
    gaining = [
        given[name].count
        for name, count in bits.items()
        if count < 8 and given[name].errors[count + 1] < given[name].errors[count]
    ]
    assert not gaining or spare < min(gaining)


@pytest.mark.parametrize("seed", range(4))
def test_sharing_is_the_best_there_is(seed: int) -> None:
    """Layers of one size, so that nothing is left over: against all ways to share."""
    given = smooth(seed, 4)
    budget = 4.5 * used(given, dict.fromkeys(given, 1))
    ways = (dict(zip(given, way, strict=True)) for way in itertools.product(TRIED, repeat=4))
    best = min(total(given, way) for way in ways if used(given, way) <= budget)
    assert total(given, share_bits(given, budget)) == pytest.approx(best)


def test_error_that_falls_late_is_not_given_up_on() -> None:
    """A layer that gains nothing from its next bit, and all from the one after it."""
    late = BitCosts(10, {2: 9.0, 3: 9.0, 4: 1.0, 5: 1.0})
    early = BitCosts(10, {2: 2.0, 3: 1.5, 4: 1.4, 5: 1.3})
    assert share_bits({"early": early, "late": late}, 60) == {"early": 2, "late": 4}


def test_exact_layers_get_the_fewest_bits() -> None:
    given = smooth(0, 2) | {"exact": BitCosts(50, dict.fromkeys(TRIED, 0.0))}
    assert share_bits(given, 10_000) == {"layer0": 8, "layer1": 8, "exact": 2}


def test_reasons_are_shares_of_the_error() -> None:
    given = {
        "a": BitCosts(1, {2: 16.0, 3: 4.0, 4: 1.0}),
        "b": BitCosts(1, {2: 1.0, 3: 0.25, 4: 0.0625}),
    }
    found = reasons(given, {"a": 3, "b": 2})
    assert found["a"] == (
        "3 bits: one fewer would add 2.4e+02 % to the error of all weights, one more take off 60 %"
    )
    assert found["b"] == "2 bits: one more take off 15 %"


CHAIN = (
    "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) "
    "[c2] c2 = Conv<group=8, pads=[1,1,1,1]>(r, w2) " + bn("c2", "n2") + "[q] q = Relu(n2) "
    "[c3] c3 = Conv(q, w3) " + bn("c3", "n3") + "[s] s = Relu(n3) [p] p = GlobalAveragePool(s) "
    "[f] f = Flatten(p) [o] y = Gemm<transB=1>(f, wo, bo)"
)
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (32, 8, 1, 1), "wo": (10, 32), "bo": (10,)}
SIZES = {"c1": 216, "c2": 72, "c3": 256, "o": 320}


@pytest.fixture(scope="module")
def chain() -> onnx.ModelProto:
    norms = norm("n1", 8, spread=8) | norm("n2", 8) | norm("n3", 32)
    return trained(build(CHAIN, **SHAPES, **norms))


def bits_of(made: Plan) -> dict[str, int]:
    return {name: layer.bits for name, layer in made.layers.items()}


@pytest.mark.parametrize("mean", [2, 3, 4.5, 5, 8])
def test_bits_per_weight(mean: float, chain: onnx.ModelProto) -> None:
    result = quantize(chain, Config(bits_per_weight=mean))
    found = sum(SIZES[name] * bits for name, bits in bits_of(result.plan).items()) / 864
    assert mean - 0.4 < found <= mean
    assert result.report.bits_per_weight == pytest.approx(found)
    assert {layer.name: layer.bits for layer in result.report.layers} == bits_of(result.plan)
    assert all(entry.bits == 8 for entry in result.plan.tensors.values())
    assert any("activations keep 8 bits" in note for note in result.plan.notes)
    for name, layer in result.plan.layers.items():
        assert layer.reason.startswith(f"{layer.bits} bits: "), name


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_mixed_precision_beats_the_same_bits_for_all(bits: int) -> None:
    """On a network that was trained: with random weights, layers are as important as chance has."""
    mixed, same = (
        quantize(model_path(), config).report.snr_db["logits"]
        for config in (Config(bits_per_weight=bits), Config(weight_bits=bits))
    )
    assert mixed > same + 0.5


FIXED = 8 * (8 + 8 + 32 + 10)
"""Bytes of scales and biases."""


@pytest.mark.parametrize("bits", [2, 3.5, 6])
def test_max_bytes_counts_scales_and_biases(bits: float, chain: onnx.ModelProto) -> None:
    most = round(FIXED + 864 * bits / 8)
    result = quantize(chain, Config(max_bytes=most))
    weights = sum(SIZES[name] * count / 8 for name, count in bits_of(result.plan).items())
    assert result.report.packed_bytes == pytest.approx(FIXED + weights, abs=4)
    assert most - 60 < result.report.packed_bytes <= most


def test_layers_left_in_float_count_as_floats(chain: onnx.ModelProto) -> None:
    result = quantize(chain, Config(exclude=("o",)))
    made, _, graph = planned(chain, Config(exclude=("o",)))
    assert packed_bytes(graph, made) == result.report.packed_bytes
    assert result.report.packed_bytes == 8 * 48 + 216 + 72 + 256 + 4 * (320 + 10)
    assert bits_per_weight(graph, made) == 8
    with pytest.raises(ConfigError, match=r"max_bytes is 1800, and weights of 2 bits, .* 1840"):
        quantize(chain, Config(exclude=("o",), max_bytes=1800))


def test_too_few_bytes_are_refused_with_the_least(chain: onnx.ModelProto) -> None:
    least = FIXED + 864 * 2 // 8
    quantize(chain, Config(max_bytes=least))
    words = f"max_bytes is {least - 1}, and weights of 2 bits, the fewest, take {least} bytes"
    with pytest.raises(ConfigError, match=words):
        quantize(chain, Config(max_bytes=least - 1))


@pytest.mark.parametrize("method", ["spiq", "static", "dynamic"])
@pytest.mark.parametrize("target", ["onnxruntime", "portable"])
def test_mixed_plans_go_to_json_and_back(method: str, target: str, chain: onnx.ModelProto) -> None:
    config = Config(method=method, target=target, bits_per_weight=5)
    at_once = quantize(chain, config)
    loaded = Plan.from_json(plan(chain, config).to_json())
    assert loaded == at_once.plan
    assert apply(chain, loaded).model == at_once.model


def test_first_and_last_layers(chain: onnx.ModelProto) -> None:
    made = plan(chain, Config(weight_bits=4, activation_bits=4, first_last_bits=8))
    assert bits_of(made) == {"c1": 8, "c2": 4, "c3": 4, "o": 8}
    assert {n: e.bits for n, e in made.tensors.items()} == {"x": 8, "r": 4, "q": 4, "s": 8, "p": 8,
                                                            "f": 8}  # fmt: skip
    data = json.loads(made.to_json())
    assert data["weight_bits"] == 4 and data["layers"]["c1"]["bits"] == 8
    assert "bits" not in data["layers"]["c2"]


def test_first_and_last_layers_hold_their_bits_in_mixed_precision(chain: onnx.ModelProto) -> None:
    made = plan(chain, Config(bits_per_weight=6, first_last_bits=7))
    assert bits_of(made)["c1"] == bits_of(made)["o"] == 7
    assert made.layers["o"].reason == "7 bits, as a first or last layer"
    found = sum(SIZES[name] * bits for name, bits in bits_of(made).items()) / 864
    assert 5.5 < found <= 6
    with pytest.raises(ConfigError, match=r"bits_per_weight is 3, and with first_last_bits it is"):
        plan(chain, Config(bits_per_weight=3, first_last_bits=8))


def test_batchnorm_on_integers_is_exact_at_two_bits() -> None:
    body = (
        "[c1] c1 = Conv(x, w1) " + bn("c1", "n1") + "[p] p = MaxPool<kernel_shape=[2,2]>(n1) "
        + bn("p", "n2") + "[q] q = Relu(n2) [c2] y = Conv(q, w2)"
    )  # fmt: skip
    shapes = {"w1": (8, 3, 3, 3), "w2": (4, 8, 1, 1)}
    model = trained(build(body, **shapes, **norm("n1", 8), **norm("n2", 8)))
    result = quantize(model, Config(bits_per_weight=7))
    assert bits_of(result.plan)["n2"] == 2
    feed = images_for(model)
    assert snr_db(run(model, feed)["y"], run(result.model, feed)["y"]) > 25


def test_several_first_layers() -> None:
    body = (
        "[a1] a1 = Conv(x, w1) [b1] b1 = Conv(x, w1) [s] s = Add(a1, b1) [c] c = Conv(s, w2) "
        "[ya] y = Conv(c, w3) [yb] z = Conv(c, w3)"
    )
    model = build(body, outputs="y, z", w1=(8, 3, 3, 3), w2=(8, 8, 1, 1), w3=(4, 8, 1, 1))
    made = plan(model, Config(weight_bits=4, first_last_bits=8))
    assert bits_of(made) == {"a1": 8, "b1": 8, "c": 4, "ya": 8, "yb": 8}


@pytest.mark.parametrize(
    ("operator", "shape"),
    [("Conv<pads=[1,1,1,1]>", (6, 4, 3, 3)), ("Conv<group=2>", (6, 2, 1, 1)),
     ("Conv<group=4>", (4, 1, 3, 3))],
)  # fmt: skip
@pytest.mark.parametrize("sigma", [None, np.array([0.1, 2.0, 1.0, 0.5])], ids=["", "scaled"])
def test_error_by_bits_is_that_of_rounded_weights(
    operator: str, shape: tuple[int, ...], sigma: np.ndarray | None
) -> None:
    """Against noise on independent inputs, written out."""
    model = build(f"[o] y = {operator}(x, w)", inputs="float[N,4,9,9] x", w=shape)
    prepared = prepare(read(model))
    measured = measure(prepared, input_stats(prepared, Config())[0])
    node = next(n for n in prepared.model.graph if n.name == "o")
    assert node.inputs[0] is not None
    var = measured.stats[node.inputs[0]].var.reshape(-1)
    counts = np.arange(1, shape[0] + 1, dtype=float).reshape(1, -1, 1, 1)
    found = errors_by_bits(node, sigma, measured, {node.outputs[0]: counts}, (3, 8), Weights())
    scales = np.ones(4) if sigma is None else sigma
    weight = node.inputs[1].const_value.numpy().astype(float)  # type: ignore[union-attr]
    columns = shape[1]
    for bits, error in found.items():
        expected = 0.0
        for row, kernel in enumerate(weight):
            first = row // (shape[0] * columns // 4) * columns
            folded = kernel * scales[first : first + columns, None, None]
            step = np.abs(folded).max() / (2 ** (bits - 1) - 1)
            moved = (np.rint(folded / step) * step - folded) / scales[first : first + columns,
                                                                    None, None]  # fmt: skip
            power = np.square(moved).sum(axis=(1, 2)) @ var[first : first + columns]
            expected += (row + 1) * float(power)
        assert error == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bits_per_weight": 1.9}, "bits_per_weight is 1.9: it must be from 2 to 8"),
        ({"bits_per_weight": 8.5}, "from 2 to 8"),
        ({"bits_per_weight": float("nan")}, "from 2 to 8"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"bits_per_weight": 5, "max_bytes": 100}, "either bits_per_weight or max_bytes"),
        ({"bits_per_weight": 5, "weight_bits": 4}, "weight_bits, .* or bits_per_weight, not both"),
        ({"max_bytes": 5, "weight_bits": 4}, "weight_bits, .* or max_bytes, not both"),
        ({"first_last_bits": 2}, "first_last_bits is 2: it must be a whole number from 3 to 8"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Config(**options)  # type: ignore[arg-type]


def test_edited_bits_show_in_the_report(chain: onnx.ModelProto) -> None:
    made = plan(chain)
    edited = {**made.layers, "o": replace(made.layers["o"], bits=2)}
    report = apply(chain, replace(made, layers=edited)).report
    assert report.bits_per_weight == pytest.approx((864 * 8 - 320 * 6) / 864)
    assert report.packed_bytes == FIXED + 216 + 72 + 256 + 80
    assert isinstance(planned(chain)[2], ir.Graph)
