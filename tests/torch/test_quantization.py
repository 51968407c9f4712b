"""A module goes in, a quantized network comes out."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

import spiq
from small_modules import image, nn, plain, residual, torch
from spiq import Config, Quantized


@pytest.fixture(scope="module")
def result() -> Quantized:
    return spiq.torch.quantize(residual(), image(), Config(input_range=((-4, 4),)))


def test_every_layer_runs_on_integers(result: Quantized) -> None:
    layers = {layer.name: layer for layer in result.report.layers}
    assert list(layers) == ["stem.0", "body.0", "body.0_1", "head"]
    assert all(layer.quantized for layer in layers.values())
    assert not [note for note in result.report.notes if "no statistics rule" in note]


def test_it_computes_what_the_module_does(result: Quantized) -> None:
    with torch.no_grad():
        wanted = residual()(image(4)).numpy()
    (found,) = result.run({"x": image(4).numpy()}).values()
    error = np.mean((found - wanted) ** 2) / wanted.var()
    assert 10 * np.log10(1 / error) > 15


def test_options_name_modules() -> None:
    config = Config(exclude=("0.*",), input_range=((-4, 4),))
    steps: list[str] = []
    result = spiq.torch.quantize(plain(), image(), config, progress=steps.append)
    floats = [layer.name for layer in result.report.float_layers]
    assert floats == ["0.0"]
    assert steps[:2] == ["export", "read"]


def test_an_open_batch_stays_open(result: Quantized) -> None:
    size = onnx.load_from_string(result.model).graph.input[0].type.tensor_type.shape.dim[0]
    assert size.dim_param == "batch"


def test_a_trace_is_among_the_notes() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = plain()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.body(x)
            return y if x.sum() > 0 else -y

    report = spiq.torch.quantize(Branch().eval(), image().abs()).report
    assert report.quantized_layers == 3
    assert report.notes[-1].startswith("warning: Branch is traced by PyTorch's older exporter")


@pytest.mark.process
def test_torch_is_imported_when_it_is_used() -> None:
    program = (
        "import sys, spiq; print('torch' in sys.modules); spiq.torch; print(spiq.torch.quantize)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("False\n<function quantize"), done.stderr
