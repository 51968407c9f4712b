"""Metadata is read as ONNX has it, without the graph."""

import os
import sys
from pathlib import Path

import onnx
import pytest

from small_networks import build
from spiq.io.metadata import metadata


@pytest.fixture
def content() -> bytes:
    model = build("[c] y = Conv(x, w)", w=(8, 3, 3, 3))
    model.metadata_props.add(key="author", value="someone")
    model.metadata_props.add(key="größe", value="")
    return bytes(model.SerializeToString())


def test_metadata_of_a_file_and_of_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert metadata(path) == metadata(content) == {"author": "someone", "größe": ""}


def test_a_model_without(tmp_path: Path) -> None:
    assert metadata(build("y = Relu(x)").SerializeToString()) == {}


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_what_is_cut_short_says_nothing(kept: int, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content[:kept])
    assert metadata(path) == metadata(content[:kept]) == {}


def test_text_that_is_none_is_read_all_the_same() -> None:
    entry = onnx.StringStringEntryProto(key="a", value="???").SerializeToString()
    field = bytes([14 << 3 | 2, len(entry)]) + entry
    assert metadata(field) == {"a": "???"}
    assert metadata(field.replace(b"???", b"b\xffc")) == {"a": "b\N{REPLACEMENT CHARACTER}c"}


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    assert metadata(tmp_path) == metadata(tmp_path / "missing.onnx") == metadata("\0") == {}


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert metadata(tmp_path / "pipe") == {}
