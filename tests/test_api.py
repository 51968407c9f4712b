"""The public names, and what importing them costs."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import spiq
from spiq.demo import model_path

HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime")


def test_names_are_sorted_and_all_there_are() -> None:
    assert spiq.__all__ == sorted(spiq.__all__)
    assert dir(spiq) == spiq.__all__
    assert spiq.__all__ == [
        "Config",
        "InputValues",
        "Plan",
        "Quantized",
        "SpiqError",
        "Statistics",
        "__version__",
        "apply",
        "compare",
        "evaluate",
        "inspect",
        "pareto",
        "plan",
        "quantize",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_bits": 4.5}, "weight_bits is 4.5: it must be a whole number from 2 to 8"),
        ({"weight_bits": "8"}, "weight_bits is '8': it must be a whole number"),
        ({"input_size": "320"}, "input_size is '3': it must be a whole number"),
        ({"input_mean": 0.5, "input_std": 0.5}, "input_mean 0.5: give a tuple of finite numbers"),
        (
            {"input_mean": ("a",), "input_std": (1.0,)},
            r"input_mean \('a',\): give a tuple of finite",
        ),
        ({"images": ["a.png"]}, r"images \['a.png'\]: give a folder, or an .npz file"),
    ],
)
def test_options_of_other_types_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(spiq.SpiqError, match=said):
        spiq.Config(**options)


def test_inputs_that_do_not_fit_a_result_are_said() -> None:
    made = spiq.quantize(model_path(), spiq.Config(timing=False))
    with pytest.raises(spiq.SpiqError, match="the quantized network: ONNX Runtime cannot run it"):
        made.run({"image": np.zeros((1, 3, 8, 8))})


@pytest.mark.parametrize("name", spiq.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert getattr(spiq, name).__doc__


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        spiq.quantise  # noqa: B018


@pytest.mark.process
@pytest.mark.parametrize("module", ["spiq", "spiq.cli"])
def test_import_is_light(module: str) -> None:
    program = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.process
def test_help_is_light() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "spiq", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    imported = {line.rsplit("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "spiq.cli" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.process
def test_without_pytorch_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["torch"] = None
import spiq
try:
    spiq.torch
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "spiq.torch needs PyTorch: pip install 'spiq[torch]'\n", done.stderr
