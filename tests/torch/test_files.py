"""Programs in files and functions that build modules, in Python and on the command line."""

import json
import sys
from pathlib import Path

import onnx
import pytest

import spiq
from small_modules import image, plain, torch
from spiq.cli import main
from spiq.config import Config
from spiq.errors import ConfigError, ModelError
from spiq.torch.files import build, load


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(torch.export.export(plain(), (image(),)), path)
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_program_is_quantized_beside_its_file(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quantize", program, "--input-range", "-4,4", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in report["layers"]] == ["0.0", "1.0", "2"]
    assert program.with_name("net.int8.onnx").exists()


def test_statistics_of_a_program_go_to_an_onnx_file_without(
    program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stats, model = tmp_path / "stats.json", tmp_path / "net.onnx"
    assert run("torch", "stats", program, "-o", stats) == 0
    assert list(json.loads(stats.read_text())["layers"]) == ["0.0", "1.0"]
    torch.onnx.export(plain(), (image(),), model, dynamo=True, verbose=False, external_data=False)
    operators = {node.op_type for node in onnx.load(model).graph.node}
    assert "BatchNormalization" not in operators
    capsys.readouterr()

    assert run("quantize", model, "--stats", stats, "--input-range", "-4,4", "--json") == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "statistics kept beside the file: of 2 layers" in notes
    assert not [note for note in notes if "holds no BatchNorm" in note]


def test_statistics_are_printed_without_a_file(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("torch", "stats", program) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 1


def test_statistics_before_a_module_is_fused(tmp_path: Path) -> None:
    module = plain()
    kept = spiq.torch.statistics(module, image())
    config = Config(input_range=((-4, 4),))
    wanted = spiq.torch.quantize(module, image(), config)
    for block in module[:2]:
        fused = torch.nn.utils.fuse_conv_bn_eval(block[0], block[1])
        block[0], block[1] = fused, torch.nn.Identity()
    found = spiq.torch.quantize(module, image(), config, statistics=kept)
    assert found.plan.tensors.keys() == wanted.plan.tensors.keys()
    for name, tensor in wanted.plan.tensors.items():
        assert found.plan.tensors[name].low == pytest.approx(tensor.low, rel=1e-4)
    with pytest.raises(ModelError, match="before the module is fused"):
        spiq.torch.statistics(module, image())


BUILDER = """
import torch
from torch import nn

def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()

def pair():
    return module(), torch.zeros(1, 3, 16, 16)

def training():
    return module().train()

def weights():
    return module().state_dict()

def broken():
    raise KeyError("no weights\\nhere")
"""


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_builder.py").write_text(BUILDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "own_builder", raising=False)
    return "own_builder"


@pytest.mark.parametrize("function", ["module", "pair"])
def test_a_function_is_called_where_allowed(
    builder: str, function: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"{builder}:{function}"
    options = ("--input-size", 24, "--input-range", "-1,1")
    assert run("quantize", source, *options, "--allow-import") == 0
    made = onnx.load(tmp_path / f"{function}.int8.onnx")
    size = made.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    assert size == (16 if function == "pair" else 24)


def test_a_function_is_not_called_unasked(builder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quantize", f"{builder}:module") == 2
    assert "allow it with --allow-import" in capsys.readouterr().err
    assert builder not in sys.modules


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("training", "call eval()"),
        ("weights", "returns OrderedDict"),
        ("broken", "KeyError"),
        ("none", "AttributeError"),
    ],
)
def test_what_is_wrong_with_a_function_is_one_line(
    builder: str, function: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quantize", f"{builder}:{function}", "--allow-import") == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_no_such_module() -> None:
    with pytest.raises(ConfigError, match="no_such_module:make cannot be called"):
        build("no_such_module:make", size=32)


def test_checkpoints_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("net.pt", "net.pth", "net.pt2"):
        torch.save(plain().state_dict(), tmp_path / name)
        assert run("quantize", tmp_path / name) == 2
        error = capsys.readouterr().err
        assert "is a pickled PyTorch file: to read it is to run whatever is in it" in error
        assert error.count("\n") == 1


def test_a_cut_file_ends_in_one_line(program: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(program.read_bytes()[:200])
    with pytest.raises(ModelError, match=r"no \.pt2 file"):
        load(cut)
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "none.pt2")


def test_a_program_in_python_is_told_where_to_go(program: Path) -> None:
    with pytest.raises(ModelError, match=r"spiq\.torch\.quantize what torch\.export\.load"):
        spiq.quantize(program)


def test_statistics_are_not_taken_from_onnx_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("torch", "stats", tmp_path / "net.onnx") == 2
    assert "is no .pt2 file" in capsys.readouterr().err
