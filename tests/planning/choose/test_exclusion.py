"""What the options keep in float, by name, type and place."""

import json
from pathlib import Path

import onnx
import pytest

import spiq
from small_mobilenet import model_path
from small_networks import bn, build, norm
from spiq.cli import main
from spiq.config import Config
from spiq.errors import ConfigError
from spiq.io.read import read
from spiq.planning.choose.exclusion import excluded

GRAPH = read(
    onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1,2,8,8] x) => (float[1,2,8,8] y) <float[2,2,1,1] w = {1, 2, 3, 4}> {
            [stem] a = Conv (x, w)
            [left] b = Conv (a, w)
            [act] c = Relu (b)
            [right] d = Conv (a, w)
            [sum] e = Add (c, d)
            [gate] f = Sigmoid (e)
            [head] y = Conv (f, w)
        }
    """)
).graph


def names(**options: object) -> list[str]:
    return sorted(excluded(GRAPH, Config(**options), {}))  # type: ignore[arg-type]


def test_by_name() -> None:
    assert names(exclude=("*e*",)) == ["head", "left", "stem"]  # layers, not the gate
    assert names(exclude=("gate", "left")) == ["gate", "left"]


def test_by_type() -> None:
    assert names(exclude_type=("sigmoid", "Add")) == ["gate", "sum"]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("a", "e", ["act", "left", "right", "sum"]),
        ("a", "c", ["act", "left"]),
        ("left", "sum", ["act", "left", "sum"]),
        ("x", "y", ["act", "gate", "head", "left", "right", "stem", "sum"]),
        ("head", "head", ["head"]),
    ],
)
def test_between(begin: str, end: str, expected: list[str]) -> None:
    assert names(exclude_between=((begin, end),)) == expected


def test_a_tensor_that_batchnorm_read_stands_for_what_it_wrote() -> None:
    """Folded away, it is in the file that the user looks at, and not in the network worked on."""
    body = (
        f"[c1] t1 = Conv(x, w) {bn('t1', 'n1')}[r1] r1 = Relu(n1) "
        f"[c2] t2 = Conv(r1, v) {bn('t2', 'n2')}[r2] r2 = Relu(n2) [c3] y = Conv(r2, u)"
    )
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 3, 3), "u": (4, 8, 1, 1)}
    model = build(body, **shapes, **norm("n1", 8), **norm("n2", 8))
    made = spiq.plan(model, Config(exclude_between=(("t1", "t2"),)))
    assert [*made.left_in_float] == ["c2"] and [*made.layers] == ["c1", "c3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": ("lefty",)}, "exclude 'lefty' matches no layer: did you mean 'left'"),
        ({"exclude_type": ("Gelu",)}, "'Gelu': no operator is of this type: .* has Add, Conv"),
        ({"exclude_between": (("e", "a"),)}, "no operator lies between: 'a' does not depend on"),
        ({"exclude_between": (("aa", "e"),)}, "there is no tensor and no operator 'aa'"),
    ],
)
def test_says_what_matches_nothing(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        names(**options)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="exclude_type 'Conv' is text: give a tuple"):
        Config(exclude_type="Conv")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give pairs of names"):
        Config(exclude_between=("a", "b"))  # type: ignore[arg-type]


@pytest.mark.end_to_end
def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--exclude-between=/blocks/blocks.1/depthwise/conv/Conv,/classifier/Gemm"]
    command = ["quantize", str(model_path()), f"-o{tmp_path / 'out.onnx'}", "--json", *options]
    assert main([*command, "--exclude-type=gemm"]) == 0
    report = json.loads(capsys.readouterr().out)
    left = [one["name"] for one in report["layers"] if not one["quantized"]]
    assert left[0] == "/blocks/blocks.1/depthwise/conv/Conv" and left[-1] == "/classifier/Gemm"
    assert {one["reason"] for one in report["layers"]} == {"", "excluded"}
    assert len(left) < len(report["layers"])
    assert main([*command[:-1], "--exclude-between=a", "--force"]) == 2
    assert "give two names and a comma" in capsys.readouterr().err
