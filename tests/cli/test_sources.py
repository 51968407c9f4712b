"""What MODEL may be besides an ONNX file, as far as that needs no PyTorch."""

import sys
from pathlib import Path

import pytest

from spiq.cli import main, sources


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("a/net.onnx", "a/net.int8.onnx"),
        ("a/net.pt2", "a/net.int8.onnx"),
        ("a/net.v1", "a/net.v1.int8.onnx"),
        ("package.module:build", "build.int8.onnx"),
        ("package:Net.small", "Net.small.int8.onnx"),
    ],
)
def test_where_the_result_goes(model: str, written: str) -> None:
    assert sources.result(Path(model)) == Path(written)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("a/net.int8.onnx", "a/net.onnx"),
        ("net.tensorrt-fp16.onnx", "net.onnx"),
        ("net-0.25.int8.onnx", "net-0.25.onnx"),
        ("hf:org/repo/net.int8.onnx", "hf:org/repo/net.onnx"),
        ("net-0.25.onnx", None),
        ("net.onnx", None),
        (".int8.onnx", None),
        ("-", None),
    ],
)
def test_where_the_float_network_lies(model: str, named: str | None) -> None:
    assert sources.in_float(Path(model)) == (named and Path(named))


@pytest.mark.parametrize(
    ("model", "is_one"),
    [("a.b:c", True), ("a:b", True), ("a/b:c", False), ("a.b", False), ("1a:b", False)],
)
def test_what_is_a_function(model: str, is_one: bool) -> None:
    assert sources.is_function(Path(model)) == is_one


def test_a_file_of_such_a_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:b").touch()
    assert not sources.is_function(Path("a:b"))


def test_code_is_not_imported_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["quantize"], ["torch", "stats"]):
        assert main([*command, "this.is:code"]) == 2
        assert "allow it with --allow-import" in capsys.readouterr().err


def test_without_pytorch_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("spiq.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["quantize", "net.pt2"]) == 2
    error = capsys.readouterr().err
    assert "net.pt2: spiq.torch needs PyTorch: pip install 'spiq[torch]'" in error
    assert error.count("\n") == 1


def test_torch_without_a_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torch"]) == 0
    assert "stats" in capsys.readouterr().out
