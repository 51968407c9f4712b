"""The public names, and what importing them costs."""

import subprocess
import sys

import pytest

import spiq

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


SYMPY = """
import sys, {first} spiq.pipeline
from onnx_ir import SymbolicDim
before, size = "sympy.core" in sys.modules, (SymbolicDim("N") * 4) // 2
print(before, size, "sympy.core" in sys.modules, any("spiq" in str(f) for f in sys.meta_path))
"""


@pytest.mark.process
@pytest.mark.parametrize(("first", "before"), [("", False), ("sympy,", True), ("onnx_ir,", True)])
def test_sympy_comes_when_it_is_used(first: str, before: bool) -> None:
    program = SYMPY.format(first=first)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([str(before), "2*N", "True", "False"], "")


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
