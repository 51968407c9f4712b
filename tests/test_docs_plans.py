"""The page on plans: its commands run as they are printed, and do what it says."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from small_mobilenet import model_path
from spiq.cli import main
from spiq.planning.plan.json import _LAYER, _TENSOR
from spiq.planning.plan.values import Plan

PAGE = Path(__file__).parents[1] / "docs/plans.md"


def test_commands_run_as_they_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").write_bytes(model_path().read_bytes())
    names: dict[str, Any] = {}
    for kind, block in re.findall(r"```(sh|python)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if kind == "python":
            exec(block, names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "spiq"
            assert main(arguments) == 0, (line, capsys.readouterr().err)
    followed = Plan.load("followed.json")
    assert followed.layers["/stem/conv/Conv"].bits == 6
    assert "/classifier/Gemm" not in followed.layers
    assert set(followed.left_in_float) == {"/classifier/Gemm", "/blocks/blocks.2/Add"}
    project = followed.tensors["/blocks/blocks.1/project/bn/BatchNormalization_output_0"]
    assert (project.zero, project.alpha, project.bits) == (0.4, 0.0, 7)
    assert followed.tensors["/blocks/blocks.0/Add_output_0"].alpha is None


def test_every_field_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    assert described.issuperset((*_TENSOR, *_LAYER))
