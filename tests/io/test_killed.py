"""A writer is killed at every step: the old file whole or the new one, and no litter."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("killed.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def moments(folder: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    command = [sys.executable, SCRIPT, folder / "models", kind]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.partition("{") for line in ended.stdout.splitlines()]
    return [(call.strip(), json.loads(brace + rest)) for call, brace, rest in lines]


def litter(found: dict[str, Any]) -> set[str]:
    return {name for name in found["left"] if name not in found["old"] and name not in found["new"]}


@pytest.mark.process
@pytest.mark.parametrize("kind", ["small", "large", "named"])
def test_killed_at_each_call(tmp_path: Path, kind: str) -> None:
    seen = moments(tmp_path, kind)
    assert len(seen) >= {"small": 7, "large": 20, "named": 7}[kind]
    assert [call for call, _ in seen].count("") == 2  # the last of each round was not killed
    for call, found in seen:
        model = found["left"].get("net.onnx")
        assert model in (found["old"].get("net.onnx"), found["new"]["net.onnx"]), call
        whole = found["new"] if model == found["new"]["net.onnx"] else found["old"]
        assert whole.items() <= found["left"].items(), f"half of it before {call}"
        assert found["later"] == whole, f"litter stays behind {call}"


@pytest.mark.process
def test_nothing_but_a_moment_leaves_litter(tmp_path: Path) -> None:
    """Only where an older file is replaced, and only between two calls to the system."""
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("files without a name are Linux's")
    seen = moments(tmp_path, "small")
    assert [call for call, found in seen if litter(found)] == ["replace"]
