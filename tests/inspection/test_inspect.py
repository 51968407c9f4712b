"""What ``inspect`` says of a network's layers, and how it reads."""

import io
import json
from dataclasses import fields

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rich.console import Console

import spiq
from small_mobilenet import model_path
from spiq.cli.render.json import render_json
from spiq.cli.render.tables import quantization as tables
from spiq.config import Config
from spiq.errors import ConfigError
from spiq.inspection.inspect import InspectResult, inspect
from transformers import transformer


@pytest.fixture(scope="module")
def demo() -> InspectResult:
    return inspect(model_path())


def two_layers(between: str = "h = Relu(c)", size: str = "8,8") -> onnx.ModelProto:
    """Two 1x1 convolutions, 3 -> 4 -> 2 channels, and what stands between them."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net '
        f"(float[N,3,{size}] x) => (float[N,2,{size}] y) {{"
        f"[one] c = Conv(x, w) {between} [two] y = Conv(h, v, b) }}"
    )
    rng = np.random.default_rng(0)
    taps = (1,) * len(size.split(","))
    for name, shape in {"w": (4, 3, *taps), "v": (2, 4, *taps), "b": (2,)}.items():
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def shown(renderable: object, width: int = 80) -> str:
    console = Console(width=width, record=True, markup=False, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_demo_layers(demo: InspectResult) -> None:
    assert len(demo.layers) == 23
    assert all(layer.quantized and not layer.reason for layer in demo.layers)
    first, last = demo.layers[0], demo.layers[-1]
    assert (first.name, first.operator, first.statistics) == ("/stem/conv/Conv", "Conv", "input")
    assert (first.in_channels, first.out_channels, first.parameters) == (3, 16, 448)
    assert first.macs == 144 * 16 * 3 * 9
    assert (last.operator, last.in_channels, last.out_channels, last.macs) == (
        "Gemm",
        128,
        10,
        1280,
    )
    assert all(layer.spread is not None and layer.spread >= 1 for layer in demo.layers)
    assert demo.unknown_operators == ()
    assert "assumed" in demo.notes[0]


@pytest.mark.parametrize(
    "config", [Config(), Config(exclude=("/blocks/*",)), Config(target="portable")]
)
def test_says_what_quantize_does(config: Config) -> None:
    done = spiq.quantize(model_path(), config).report.layers
    for seen, layer in zip(inspect(model_path(), config).layers, done, strict=True):
        for field in fields(layer):
            said = getattr(layer, field.name)
            if said is not None and field.name != "bits":
                assert getattr(seen, field.name) == said, (layer.name, field.name)


@pytest.mark.parametrize("config", [Config(timing=False), Config(target="vitis", timing=False)])
def test_says_what_becomes_of_products(config: Config) -> None:
    """Of attention; all of them were said to stay in float."""
    done = spiq.quantize(transformer(), config).report.layers
    for seen, layer in zip(inspect(transformer(), config).layers, done, strict=True):
        assert (seen.name, seen.quantized, seen.reason) == (
            layer.name, layer.quantized, layer.reason,
        )  # fmt: skip


def test_small_layers() -> None:
    one, two = inspect(two_layers()).layers
    assert (one.name, one.macs, one.parameters) == ("one", 64 * 12, 12)
    assert (two.name, two.macs, two.parameters) == ("two", 64 * 8, 8 + 2)
    assert (one.statistics, two.statistics) == ("input", "propagated")


def test_operator_without_a_rule() -> None:
    result = inspect(two_layers("[odd] h = CumSum(c, axis) axis = Constant<value_int=1>()"))
    assert result.unknown_operators == ()
    assert result.layers[1].quantized
    assert result.layers[1].statistics == "synthetic"
    assert any("observed on synthetic images" in note for note in result.notes)


def test_operator_behind_which_channels_cannot_be_observed() -> None:
    """It yields no number for what is below 1."""
    between = "[odd] h = Acosh(c)"
    result = inspect(two_layers(between, size="8"))
    assert result.unknown_operators == ("Acosh 'odd'",)
    two = result.layers[1]
    assert not two.quantized
    assert "Acosh 'odd'" in two.reason
    assert two.statistics == "unknown"
    assert two.spread is None
    page = shown(tables.render_inspected(result))
    assert "1 of 2 can be quantized" in page
    assert "1 left in float: no statistics of its input" in page


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("/stem/conv/conv", "did you mean '/stem/conv/Conv'"),
        ("*nowhere*", "layers have names like '/stem/conv/Conv'"),
    ],
)
def test_exclude_that_matches_nothing(pattern: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=r"matches no layer") as caught:
        inspect(model_path(), Config(exclude=("/last/*", pattern)))
    assert hint in str(caught.value)
    with pytest.raises(ConfigError, match=r"matches no layer"):
        spiq.plan(model_path(), Config(exclude=(pattern,)))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table_fits(demo: InspectResult, width: int) -> None:
    page = shown(tables.render_inspected(demo), width)
    assert max(map(len, page.splitlines())) <= width
    assert "spread" in page
    if width == 120:
        assert "/blocks/blocks.6/depthwise/conv/Conv" in page
    else:
        assert "…" in page
        assert "/conv/Conv  Conv" in page.replace("…", "")


def test_a_mask_without_end_is_no_spread(capfd: pytest.CaptureFixture[str]) -> None:
    """Dividing one end that is not finite by another was a warning of NumPy's."""
    model = two_layers("n = Less(c, zero) m = Where(n, mask, c) h = Relu(m)")
    for name, number in (("zero", 0.0), ("mask", -np.inf)):
        array = np.array([number], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    assert all(layer.spread is None or layer.spread >= 1 for layer in inspect(model).layers)
    assert "Warning" not in capfd.readouterr().err


def test_json_has_every_field(demo: InspectResult) -> None:
    data = json.loads(render_json(demo, extra="first"))
    assert next(iter(data)) == "extra"
    assert data["layers"][0]["macs"] == demo.layers[0].macs
    assert len(data["layers"]) == 23


def test_json_has_no_infinities() -> None:
    layer = inspect(two_layers()).layers[0]
    odd = InspectResult(model="m", layers=(layer, type(layer)(
        name="n", operator="Conv", quantized=False, spread=float("inf"))))  # fmt: skip
    assert json.loads(render_json(odd))["layers"][1]["spread"] is None
