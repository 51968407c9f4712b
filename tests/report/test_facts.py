"""What is gathered of a network is true: errors, costs, times, grids."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from reported import Reported, report_on
from reported_networks import WIDE, folded, network, with_a_wide_channel, with_a_wide_operand

import spiq
from small_networks import build
from spiq.config import Config
from spiq.errors import ConfigError, ModelError
from spiq.inspection.in_single import in_single
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.pipeline import explained
from spiq.planning.plan.grid import Grid
from spiq.planning.plan.resolve import StoredTensor
from spiq.report.facts import LayerFacts
from spiq.report.gather import gather
from spiq.report.injected import costs, factors, injectable, ranked
from spiq.report.make import of_file, of_result
from spiq.report.rows import label
from spiq.report.seen import Watcher
from spiq.report.timing import by_layer, named
from spiq.runtime.profile import KernelTime
from spiq.speed import REASON

pytestmark = pytest.mark.end_to_end


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def reported() -> Reported:
    return report_on(network())


def test_every_layer_is_told(reported: Reported) -> None:
    layers = {layer.name: layer for layer in reported.facts.layers}
    assert [*layers] == ["c0", "c1", "c2", "head"]
    assert all(layer.on_integers and layer.bits == 8 for layer in layers.values())
    assert layers["c0"].statistics == "input"
    assert layers["c1"].macs == 16 * 16 * 9 * 256
    assert all(layer.snr_db > 30 for layer in layers.values() if layer.snr_db is not None)


def test_what_layers_are_found_to_cost_is_what_the_outputs_lose(reported: Reported) -> None:
    found = -10 * np.log10(reported.facts.cost)
    assert abs(found - reported.snr) < 3


def test_a_wide_channel_is_wide_before_it_is_scaled_and_not_after() -> None:
    reported = report_on(with_a_wide_channel())
    channels = reported.facts.layers[2].channels
    assert channels is not None
    assert channels.tensor == "r1"
    assert int((channels.high - channels.low).argmax()) == WIDE
    assert channels.spread > 20
    assert channels.spread_stored < 5
    assert channels.seen_high is not None
    assert channels.grid_high * channels.scale[WIDE] >= channels.high[WIDE] * 0.99


@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_products_cost_what_rounding_their_operands_does(factor: float) -> None:
    """Whoever writes the operands is not charged for them: in float it would not change them."""
    reported = report_on(with_a_wide_operand(factor))
    costs = {layer.name: layer.cost for layer in reported.facts.layers}
    assert costs["product"] > max(costs["q"], costs["k"])
    assert -10 * np.log10(reported.facts.cost) == pytest.approx(reported.snr, abs=1)


def test_what_stays_in_float_is_told_with_its_reason() -> None:
    reported = report_on(network(), config=Config(exclude=("c1",), timing=False))
    layer = reported.facts.layers[1]
    assert (layer.on_integers, layer.reason, layer.expected_cost) == (False, "excluded", None)
    assert reported.facts.integer_macs is not None
    assert reported.facts.integer_macs < 1


def test_the_input_is_told_with_its_odds() -> None:
    unsure = report_on(folded(network((16, 16), low=-1.0, high=1.0))).facts.inputs[0]
    assert not unsure.sure
    assert unsure.pictured == (-1, 1)
    assert (unsure.low, unsure.high) == (-2.118, 2.64)
    assert "to 1 over" in unsure.said


@pytest.mark.parametrize("method", ["static", "dynamic", "spiq-paper", "dfq", "squant"])
def test_every_method_can_be_reported(method: str) -> None:
    facts = report_on(network(), config=Config(method=method, timing=False)).facts
    assert facts.method == method
    assert len(facts.layers) == 4


def test_a_file_is_reported_by_the_options_that_it_states(reported: Reported) -> None:
    Path("quantized.onnx").write_bytes(reported.made.model)
    subject = of_file("quantized.onnx", "model.onnx", name="m", command=("spiq", "quantize", "m"))
    assert subject.own_plan
    facts = gather(subject)
    assert facts.outputs[0].snr_db == pytest.approx(reported.facts.outputs[0].snr_db)
    assert [layer.snr_db for layer in facts.layers] == [
        layer.snr_db for layer in reported.facts.layers
    ]


def test_what_quantization_knows_needs_no_second_look(tmp_path: Path) -> None:
    path, config = tmp_path / "model.onnx", spiq.Config(timing=False)
    path.write_bytes(network().SerializeToString())
    made, known = explained(str(path), config)
    subjects = [
        of_result(made, str(path), name="m", command=["spiq"], config=config, known=each)
        for each in (known, None)
    ]
    first, second = (replace(gather(subject), others=()) for subject in subjects)
    for one, other in zip(first.layers, second.layers, strict=True):
        assert one.channels is not None and other.channels is not None
        np.testing.assert_array_equal(one.channels.low, other.channels.low)
        np.testing.assert_array_equal(one.channels.scale, other.channels.scale)
        assert one.expected_cost == other.expected_cost
        assert one.snr_db == other.snr_db


def test_layers_that_were_given_back_to_float_are_so_in_a_report_of_the_file() -> None:
    report_on(network())
    plan = replace(spiq.plan("model.onnx", Config(exclude=("c1",))), left_in_float={"c1": REASON})
    Path("quantized.onnx").write_bytes(spiq.apply("model.onnx", plan).model)
    subject = of_file("quantized.onnx", "model.onnx", name="m", command=("spiq", "quantize", "m"))
    assert subject.own_plan
    assert gather(subject).layers[1].reason == REASON


def test_a_file_of_another_plan_is_told_apart() -> None:
    made = report_on(network(), config=Config(weight_bits=7, exclude=("c1",), timing=False)).made
    Path("quantized.onnx").write_bytes(made.model)
    subject = of_file("quantized.onnx", "model.onnx", name="m", command=("spiq", "quantize", "m"))
    assert not subject.own_plan
    assert not gather(subject).own_plan


def test_what_is_no_network_is_refused() -> None:
    Path("quantized.onnx").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"quantized\.onnx"):
        of_file("quantized.onnx", "model.onnx", name="m", command=())


def test_another_network_is_refused() -> None:
    report_on(network())
    storing = "q = QuantizeLinear(other, s, z) y = DequantizeLinear(q, s, z)"
    grid = {"s": np.array(0.1, np.float32), "z": np.array(128, np.uint8)}
    other = build(storing, inputs="float[1,3,8,8] other", **grid)
    Path("quantized.onnx").write_bytes(other.SerializeToString())
    subject = of_file("quantized.onnx", "model.onnx", name="m", command=())
    with pytest.raises(ConfigError, match="two forms of the same network"):
        gather(subject)


def test_storing_is_seen_channel_by_channel() -> None:
    how = StoredTensor(
        grid=Grid(bits=8, step=0.1, zero_point=0), channel_scale=(1.0, 2.0), layout=(1, 2, 1, 1)
    )
    watcher = Watcher({"v": how}, {"x"})
    x = np.float32([[[[0.06, 30.0]], [[0.06, 30.0]]]])
    watcher("x", x)
    watcher("v", x)
    seen = watcher.seen()["v"]
    assert seen.high.reshape(-1).tolist() == [30, 30]
    # 25.5 and 51 are the ends; 0.06 becomes 0.1 and 0
    np.testing.assert_allclose(seen.clipping.reshape(-1), [4.5**2 / 2, 0], atol=1e-3)
    np.testing.assert_allclose(
        seen.error.reshape(-1), [(4.5**2 + 0.04**2) / 2, 0.06**2 / 2], rtol=1e-3
    )
    np.testing.assert_allclose(
        watcher.errors[0]["v"].reshape(-1), [0.04, -4.5, -0.06, 0], atol=1e-4
    )
    assert [[*picture] for picture in watcher.pictures] == [["x"]]


@pytest.mark.parametrize("version", [3, 8])
def test_an_error_costs_what_it_does_to_the_outputs(version: int) -> None:
    plain = build("h = Relu(x) y = Mul(h, two)", two=np.float32([2.0]))
    plain.ir_version = version
    if version == 3:
        plain.graph.input.append(
            onnx.helper.make_tensor_value_info("two", onnx.TensorProto.FLOAT, [1])
        )
    rng = np.random.default_rng(0)
    x = np.abs(rng.standard_normal((1, 3, 16, 16))).astype(np.float32)
    error = (0.01 * rng.standard_normal(x.shape)).astype(np.float32)
    opened = injectable(in_single(plain.SerializeToString()), ["h", "x", "missing"])
    found = costs(opened, [{"x": x}], [{"x": error, "h": error}], order=["h", "x"])
    expected = np.square(error).sum() / np.square(x - x.mean()).sum()
    assert found["h"] == pytest.approx(float(expected), rel=1e-3)
    assert found["x"] == pytest.approx(float(expected), rel=0.1)


def test_what_there_is_no_time_for_is_taken_from_its_neighbour() -> None:
    names = [*"abcd"]
    estimates = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0}
    assert factors(estimates, {"a": 0.5, "d": 16.0}, names) == {"a": 0.5, "b": 0.5, "c": 2, "d": 2}
    assert factors(estimates, {}, names) == dict.fromkeys(names, 1.0)
    assert (
        ranked(dict.fromkeys(map(str, range(32)), 1.0) | {"9": 2.0}, [*map(str, range(32))])[8]
        == "9"
    )


def test_times_go_to_the_layers_that_the_runtime_renamed() -> None:
    prepared = prepare(read(network().SerializeToString()))
    kernels = {
        "c0": KernelTime(1e-3, 1, "QLinearConv"),
        "r1_nchwc": KernelTime(2e-3, 1, "Conv"),
        "r1_quantized": KernelTime(3e-3, 1, "QuantizeLinear"),
        "p": KernelTime(4e-3, 1, "GlobalAveragePool"),
    }
    assert by_layer(prepared, kernels) == (
        {"c0": 1.0, "c1": 2.0},
        {"QuantizeLinear": 3.0, "GlobalAveragePool": 4.0},
    )


def test_a_layer_behind_a_layer_has_a_time_of_its_own() -> None:
    model = build("[a] h = Conv(x, w) [b] y = Conv(h, v)", w=(4, 3, 1, 1), v=(2, 4, 1, 1))
    kernels = {"a": KernelTime(1e-3, 1, "Conv"), "b": KernelTime(2e-3, 1, "Conv")}
    prepared = prepare(read(model.SerializeToString()))
    assert by_layer(prepared, kernels) == ({"a": 1.0, "b": 2.0}, {})


def test_operators_without_names_are_named_to_be_timed() -> None:
    model = build("h = Conv(x, w) [act] y = Relu(h)", w=(4, 3, 1, 1)).SerializeToString()
    all_named = named(in_single(model))
    assert isinstance(all_named, bytes)
    assert [node.name for node in onnx.load_from_string(all_named).graph.node] == ["h", "act"]
    assert named(in_single(all_named)) is all_named


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/features/features.4/conv/conv.2/Conv", "features.4/conv.2"),
        ("Conv", "Conv"),
        ("node_conv2d_12", "node_conv2d_12"),
        ("a" * 40, "a" * 12 + "…" + "a" * 12),
    ],
)
def test_labels_tell_layers_apart(name: str, expected: str) -> None:
    assert label(LayerFacts(name=name, operator="Conv", on_integers=True)) == expected


def test_a_product_of_two_tensors_is_told(tmp_path: Path) -> None:
    model = build(
        "[c] c = Conv(x, w) r = Reshape(c, s) t = Transpose<perm=[0,2,1]>(r) "
        "[product] y = MatMul(r, t)",
        inputs="float[1,3,8,8] x",
        w=(8, 3, 1, 1),
        s=np.array([1, 8, 64]),
    )
    facts = report_on(model).facts
    assert {layer.name for layer in facts.layers} == {"c", "product"}
    assert spiq.quantize("model.onnx").report.snr_db


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE])
def test_networks_of_another_precision(kind: int) -> None:
    model = network()
    array = onnx.helper.tensor_dtype_to_np_dtype(kind)
    for tensor in model.graph.initializer:
        numbers = onnx.numpy_helper.to_array(tensor).astype(array)
        tensor.CopyFrom(onnx.numpy_helper.from_array(numbers, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    facts = report_on(model).facts
    assert all(layer.snr_db and layer.seen_cost for layer in facts.layers)
    assert all(layer.float_ms for layer in facts.layers) and facts.outputs[0].snr_db
