"""Tensors of a float network and of its quantized forms, side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from test_inspect import shown

import spiq
from small_mobilenet import model_path
from spiq.cli.render.json import render_json
from spiq.cli.render.tables import quantization as tables
from spiq.config import Config
from spiq.errors import ConfigError, ModelError
from spiq.input_values import InputValues
from spiq.inspection.compare import CompareResult, compare
from spiq.inspection.tensor_sums import TensorComparison
from transformers import convnext, mixer, transformer, windows

SIGMA = np.float32([0.5, 1, 2, 4])
QDQ = "q = QuantizeLinear(h, s, z) {name} = DequantizeLinear(q, s, z) "
TO_Y = "[two] y = Conv({name}, v)"


def network(body: str, *, fold: bool = False, spiq_wrote_it: bool = False) -> bytes:
    """Two convolutions around a ReLU; ``fold`` divides the channels between them by SIGMA."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net (float[1,3,8,8] x) => (float[1,2,8,8] y) '
        f"<float s = {{0.02}}, uint8 z = {{0}}> {{ {body} }}"
    )
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 3, 1, 1)).astype(np.float32)
    v = rng.standard_normal((2, 4, 1, 1)).astype(np.float32)
    if fold:
        w, v = w / SIGMA[:, None, None, None], v * SIGMA[:, None, None]
    for name, array in {"w": w, "v": v}.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    if spiq_wrote_it:
        onnx.helper.set_model_props(model, {"spiq.method": "spiq"})
    return model.SerializeToString()


FRONT = "[one] c = Conv(x, w) [act] h = Relu(c) "
REFERENCE = network(FRONT + "[two] y = Conv(h, v)")


def quantized_between(name: str, **how: bool) -> bytes:
    return network(FRONT + (QDQ + TO_Y).format(name=name), **how)


def of_bytes() -> bytes:
    """The quantized form that takes pixels."""
    model = onnx.load_from_string(network("f = Cast <to = 1> (x) " + FRONT + TO_Y.format(name="h")))
    model.graph.node[1].input[0] = "f"
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return model.SerializeToString()


def with_open_size() -> bytes:
    model = onnx.load_from_string(REFERENCE)
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis, name in ((2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    return model.SerializeToString()


def by_name(result: CompareResult) -> dict[str, TensorComparison]:
    return {tensor.name: tensor for tensor in result.tensors}


@pytest.mark.parametrize("network", [transformer, mixer, convnext, windows])
def test_scales_along_the_last_axis_are_no_error(network: Callable[[], onnx.ModelProto]) -> None:
    """LayerNormalization takes scales in, and operators in float hand them on."""
    model = network()
    made = spiq.quantize(model, Config(input_range=((-2.2, 2.7),), timing=False))
    found = compare(model.SerializeToString(), made.model)
    assert min(tensor.snr_db for tensor in found.tensors) > 14


def test_a_gain_of_an_output_is_an_error() -> None:
    doubled = network(FRONT + "[two] o = Conv(h, v) y = Add(o, o)", spiq_wrote_it=True)
    assert by_name(compare(REFERENCE, doubled))["y"].snr_db < 6.1


@pytest.fixture(scope="module")
def demo() -> CompareResult:
    return compare(model_path(), spiq.quantize(model_path()).model)


def test_network_with_itself() -> None:
    result = compare(model_path(), model_path())
    assert all(t.snr_db == 200 and t.cosine == pytest.approx(1) for t in result.tensors)
    assert result.unmatched == ()
    written = sum(len(node.output) for node in onnx.load(model_path()).graph.node)
    assert len(result.tensors) == written


def test_demo_has_all_layers_in_order(demo: CompareResult) -> None:
    assert demo.unmatched == ()
    order = [name for node in onnx.load(model_path()).graph.node for name in node.output]
    found = [tensor.name for tensor in demo.tensors]
    assert found == [name for name in order if name in found]
    assert found[-1] == "logits"
    assert all(15 < tensor.snr_db < 70 for tensor in demo.tensors)
    assert all(tensor.cosine > 0.98 for tensor in demo.tensors)
    assert demo.tensors[-1].producer == "Gemm '/classifier/Gemm'"


def test_fewer_bits_are_worse(demo: CompareResult) -> None:
    coarse = compare(model_path(), spiq.quantize(model_path(), Config(activation_bits=5)).model)
    fine, rough = by_name(demo), by_name(coarse)
    worse = [fine[name].snr_db > rough[name].snr_db for name in fine]
    assert np.mean(worse) > 0.9


@pytest.mark.parametrize("name", ["h_dequantized", "anything"])
def test_stored_tensor_is_found_behind_its_quantizer(name: str) -> None:
    result = by_name(compare(REFERENCE, quantized_between(name)))
    assert list(result) == ["c", "h", "y"]
    assert result["c"].snr_db == 200
    assert 20 < result["h"].snr_db < 60


def test_folded_tensor_is_compared_up_to_a_gain_per_channel() -> None:
    plain = compare(REFERENCE, quantized_between("h_dequantized", fold=True))
    fitted = compare(REFERENCE, quantized_between("h_dequantized", fold=True, spiq_wrote_it=True))
    assert by_name(plain)["h"].snr_db < 6
    assert by_name(fitted)["h"].snr_db > 15
    assert by_name(plain)["y"].snr_db == by_name(fitted)["y"].snr_db > 15


def test_real_units_go_before_folded_ones() -> None:
    real = "h_real = Mul(h_dequantized, f) "
    body = FRONT + QDQ.format(name="h_dequantized") + real + TO_Y.format(name="h_dequantized")
    model = onnx.load_from_string(network(body, fold=True, spiq_wrote_it=True))
    model.graph.initializer.append(numpy_helper.from_array(SIGMA[:, None, None], "f"))
    assert by_name(compare(REFERENCE, model.SerializeToString()))["h"].snr_db > 15


def test_factor_and_clip_around_the_quantizer() -> None:
    body = (
        FRONT + "m = Mul(h, f) q = QuantizeLinear(m, s, z) k = Clip(q, z, top) "
        "r = DequantizeLinear(k, s, z) [two] y = Conv(r, v)"
    )
    model = onnx.load_from_string(network(body))
    for name, array in {"f": np.float32(1), "top": np.uint8(31)}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(array), name))
    assert by_name(compare(REFERENCE, model.SerializeToString()))["h"].snr_db < 15


def test_merged_activation_is_not_missed() -> None:
    other = network("[one] h = Conv(x, w) " + (QDQ + TO_Y).format(name="r"))
    result = compare(REFERENCE, other)
    assert list(by_name(result)) == ["h", "y"]
    assert result.unmatched == ()


def test_layers_without_counterpart() -> None:
    other = network("a = Conv(x, w) b = Relu(a) [two] y = Conv(b, v)")
    result = compare(REFERENCE, other)
    assert list(by_name(result)) == ["y"]
    assert result.unmatched == ("c",)
    assert "not found  c" in shown(tables.render_compared(result))


def test_counterpart_of_another_size_is_none() -> None:
    other = network("[one] c = Conv<strides=[2,2]>(x, w) h = Relu(c) [two] y = Conv(h, v)")
    with_shape = onnx.load_from_string(other)
    del with_shape.graph.output[0].type.tensor_type.shape.dim[:]
    result = compare(REFERENCE, with_shape.SerializeToString())
    assert result.tensors == ()
    assert result.unmatched == ("c", "y")


def test_images_cover_the_grid_of_the_input() -> None:
    """With pixels in 0..255 the ReLU is alive; within -2..2 it would be 0 everywhere."""
    shift = "<float k = {-100.0}, float s = {1.0}, uint8 z = {0}>"
    head = '<ir_version: 8, opset_import: ["": 17]> n (float[1,3,8,8] x) => (float[1,3,8,8] y) '
    plain = onnx.parser.parse_model(head + shift + "{ a = Add(x, k) y = Relu(a) }")
    other = onnx.parser.parse_model(
        head + shift + "{ q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
        "a = Add(d, k) y = Relu(a) }"
    )
    result = compare(plain.SerializeToString(), other.SerializeToString())
    assert 30 < by_name(result)["y"].snr_db < 70


def test_images_of_ones_own(tmp_path: Path) -> None:
    """Floats are fed as they are: what lies beyond the grid costs what it costs on those images."""
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) [one] c = Conv(d, w) "
    other = network(body + "[act] h = Relu(c) [two] y = Conv(h, v)")
    snr = {}
    for largest in (1, 100):
        images = np.linspace(0, largest, 2 * 192, dtype=np.float32).reshape(2, 3, 8, 8)
        np.savez(tmp_path / f"{largest}.npz", images=images)
        config = Config(images=tmp_path / f"{largest}.npz")
        snr[largest] = by_name(compare(REFERENCE, other, config=config))["y"].snr_db
    assert snr[1] > 30
    assert snr[100] < 3


def test_range_that_is_said_goes_before_the_grid() -> None:
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) [one] c = Conv(d, w) "
    other = network(body + "[act] h = Relu(c) [two] y = Conv(h, v)")
    silent = by_name(compare(REFERENCE, other))["y"].snr_db
    beyond = by_name(compare(REFERENCE, other, config=Config(input_range=((0, 100),))))["y"].snr_db
    assert silent > 30
    assert beyond < 3


def test_size_that_is_left_open() -> None:
    sizes: set[tuple[int, ...]] = set()
    model = with_open_size()
    compare(
        model,
        model,
        watch=lambda _, array: sizes.add(array.shape[2:]),
        config=Config(input_size=(16, 24)),
    )
    assert sizes == {(16, 24)}


def test_images_have_the_size_that_they_are_quantized_at(tmp_path: Path) -> None:
    """They were 64 pixels square where the network leaves that open: hardly what users have."""
    sizes: set[tuple[int, ...]] = set()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 400, 300, 3), np.uint8)
    np.savez(tmp_path / "few.npz", images=pixels)
    model = with_open_size()
    config = Config(images=tmp_path / "few.npz", input_range=((0, 1),))
    compare(model, model, config=config, watch=lambda _, array: sizes.add(array.shape[2:]))
    assert sizes == {(320, 320)}


def test_an_input_that_there_is_not() -> None:
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) [one] c = Conv(d, w) "
    other = network(body + "[act] h = Relu(c) [two] y = Conv(h, v)")
    with pytest.raises(ConfigError, match="no input 'left'"):
        compare(
            REFERENCE, other, config=Config(inputs={"left": InputValues(input_range=((0, 1),))})
        )


def test_one_value_per_channel_is_not_fitted_to_perfection(demo: CompareResult) -> None:
    pooled = by_name(demo)["/pool/GlobalAveragePool_output_0"]
    assert pooled.snr_db < 60


@pytest.mark.parametrize(
    ("models", "error", "words"),
    [
        (lambda: (b"", REFERENCE), ModelError, "cannot load"),
        (lambda: ("nope.onnx", REFERENCE), ModelError, "nope.onnx"),
        (lambda: (REFERENCE, b"not a model"), ModelError, "model"),
        (lambda: (model_path(), REFERENCE), ConfigError, "the same network"),
        (lambda: (quantized_between("r"), REFERENCE), ConfigError, "give the float first"),
        (
            lambda: (REFERENCE, of_bytes()),
            ConfigError,
            "'x' is float in reference and uint8 in other",
        ),
        (
            lambda: (REFERENCE, network("y = Softsign(k) k = Slice(x, b, e, b)")),
            ModelError,
            "cannot load",
        ),
    ],
    ids=["empty", "no file", "garbage", "inputs", "order", "types", "does not load"],
)
def test_refusals(models: Callable[[], tuple], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        compare(*models())
    assert "\n" not in str(caught.value)


def test_no_tensor_in_common() -> None:
    other = network("a = Conv(x, w) b = Relu(a) y = Conv(b, v)")
    with pytest.raises(ConfigError, match="share no float tensor"):
        compare(REFERENCE, other.replace(b"y", b"o"))


def test_table_and_json(demo: CompareResult) -> None:
    for width in (80, 120):
        page = shown(tables.render_compared(demo), width)
        assert max(map(len, page.splitlines())) <= width
        assert "lowest" in page
        assert "█" in page
    data = json.loads(render_json(demo))
    assert data["tensors"][-1]["name"] == "logits"


def of_kind(kind: int) -> bytes:
    """REFERENCE in another precision."""
    model = onnx.load_from_string(REFERENCE)
    array = onnx.helper.tensor_dtype_to_np_dtype(kind)
    unread = [tensor for tensor in model.graph.initializer if tensor.name not in ("w", "v")]
    for tensor in unread:
        model.graph.initializer.remove(tensor)
    for tensor in model.graph.initializer:
        numbers = numpy_helper.to_array(tensor).astype(array)
        tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    return model.SerializeToString()


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE])
def test_networks_of_another_precision_are_compared_as_they_are_read(kind: int) -> None:
    model = of_kind(kind)
    found = by_name(compare(model, spiq.quantize(model, Config(timing=False)).model))
    assert found and all(tensor.cosine > 0.99 for tensor in found.values())


def test_the_same_infinity_is_no_difference() -> None:
    """Scores with a mask had -200 dB, a cosine of NaN, and a warning of NumPy's."""
    found = by_name(compare(*(masked(FRONT + between) for between in ("", QDQ.format(name="d")))))
    assert 20 < found["a"].snr_db < 60 and found["a"].cosine == pytest.approx(1, abs=1e-3)


def masked(front: str) -> bytes:
    """A network whose activations are ruled out in every other column."""
    last = "d" if "QuantizeLinear" in front else "h"
    model = onnx.load_from_string(network(f"{front} a = Add({last}, m) e = Relu(a) y = Conv(e, v)"))
    mask = np.where(np.arange(8) % 2, -np.inf, 0).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(mask, "m"))
    return model.SerializeToString()
