"""What cannot be done: exit code 2, one line on stderr, nothing written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from running import CARD, Capture, content, done, refused

from small_mobilenet import model_path
from spiq import lower, pipeline
from spiq.cli import main
from spiq.io.atomic import Pending


def graph(body: str, *, opset: int = 17, weights: str = "") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> '
        f"net (float[N,3,8,8] x) => (y) {weights} {{ {body} }}"
    )


def convolution(value: float = 1.0, body: str = "[conv] y = Conv(x, weight)") -> onnx.ModelProto:
    model = graph(body)
    weight = np.ones((4, 3, 3, 3), np.float32)
    weight[1, 2, 0, 0] = value
    model.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    return model


def norm(variance: float = 1.0, attributes: str = "", results: str = "y") -> onnx.ModelProto:
    call = f"[norm] {results} = BatchNormalization {attributes} (c, g, b, m, v)"
    model = convolution(body=f"c = Conv(x, weight) {call}")
    for name in "gbmv":
        array = np.full(4, variance if name == "v" else 1.0, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def external(location: str) -> onnx.ModelProto:
    model = convolution()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return model


BROKEN: dict[str, tuple[Callable[[], bytes | onnx.ModelProto], str]] = {
    "empty": (lambda: b"", "is empty"),
    "truncated": (lambda: model_path().read_bytes()[:-1000], "cut short"),
    "random": (lambda: np.random.default_rng(3).bytes(4096), "is not an ONNX file"),
    "text": (lambda: b"layers:\n  - conv\n" * 9, "is not an ONNX file"),
    "nothing to quantize": (lambda: graph("y = Relu(x)"), "nothing to quantize"),
    "training mode": (
        lambda: norm(1, "<training_mode=1>", "y, mm, vv"),
        "BatchNormalization 'norm'",
    ),
    "NaN": (lambda: convolution(float("nan")), "'weight' has NaN values"),
    "infinity": (lambda: convolution(float("inf")), "'weight' has infinite values"),
    "negative variance": (lambda: norm(-0.5), "BatchNormalization 'norm' has the variance -0.5"),
    "edge from nowhere": (lambda: graph("[add] y = Add(x, nowhere)"), "'nowhere', which nothing"),
    "already quantized": (
        lambda: graph("[q] q = QuantizeLinear(x, s) y = Relu(q)", weights="<float s = {0.1}>"),
        "already quantized, see QuantizeLinear 'q'",
    ),
    "data missing": (lambda: external("gone.bin"), "gone.bin"),
    "data outside": (lambda: external("../outside.bin"), "../outside.bin"),
    "old opset": (lambda: graph("y = Relu(x)", opset=6), "opset 6"),
}


@pytest.mark.parametrize("command", ["quantize", "inspect"])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_model(command: str, kind: str, capsys: Capture) -> None:
    make, words = BROKEN[kind]
    made = make()
    data = made if isinstance(made, bytes) else made.SerializeToString()
    Path("broken.onnx").write_bytes(data)
    message = refused(capsys, command, "broken.onnx")
    assert words in message
    assert "broken.onnx" in message or kind == "nothing to quantize"


@pytest.mark.parametrize(
    ("path", "words"), [("nope.onnx", "no such file"), (".", "is a folder"), ("a/b.onnx", "a")]
)
@pytest.mark.parametrize("command", ["quantize", "inspect"])
def test_no_model(command: str, path: str, words: str, capsys: Capture) -> None:
    assert words in refused(capsys, command, path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method=magic"], "unknown method 'magic': choose one of spiq, static"),
        (["--target=abacus"], "unknown target 'abacus'"),
        (["--weight-bits=9"], "weight_bits is 9"),
        (["--weight-bits=1"], "weight_bits is 1"),
        (["--activation-bits=2"], "activation_bits is 2"),
        (["--weight-bits=many"], "--weight-bits"),
        (["--exclude=*nowhere*"], "exclude '*nowhere*' matches no layer"),
        (["--exclude=/stem/conv/conv"], "did you mean '/stem/conv/Conv'"),
        (["--exclude=*"], "nothing to quantize"),
        (["--input-range=1"], "a low and a high end"),
        (["--input-range=1,-1"], "the low end must be the lesser one"),
        (["--input-range=a,b"], "numbers separated by commas"),
        (["--input-range=0,inf"], "must be finite"),
        (["--input-range=0,1e300"], "numbers of float32"),
        (["--input-mean=0", "--input-std=1e-300"], "1e-30 at least"),
        (["--input-range=0,1", "--input-range=0,2"], "2 entries"),
        (["--input-mean=0.5"], "give both or neither"),
        (["--input-mean=0,0", "--input-std=1,1"], "2 entries"),
        (["--input-mean=0", "--input-std=0"], "must be positive"),
        (["--images=nowhere"], "neither a folder nor a readable .npz file"),
        (["--images=."], "no image files"),
        (["--images=model.onnx"], "neither a folder nor a readable .npz file"),
        (["--input-order=GRB"], "unknown input_order 'GRB'"),
        (["--card=nope.toml"], "cannot read the card"),
        ([CARD, "--input-range=0,1"], "--card says what the input is, and so does --input-range"),
        (["-o", "."], "is a folder"),
        (["-o", "no/where.onnx"], "there is no folder"),
        (["-o", "model.onnx"], "is the model that is read"),
        (["-o", "./link.onnx"], "is the model that is read"),
        (["--save-plan=model.onnx"], "is the model that is read"),
        (["--save-plan=model.int8.onnx"], "is the output too"),
        (["--save-plan=no/plan.json"], "there is no folder"),
        (["--effort=days"], "unknown effort 'days': choose one of seconds, minutes, hours"),
        (["--effort=minutes", "--method=static"], "effort minutes is for method spiq"),
        (["--effort=minutes", "--target=vitis"], "target vitis does not take: use effort seconds"),
        (["--effort=minutes", "--uint8-input"], "effort minutes learns on pictures of floats"),
        (["--seed=3"], "--seed says how to learn, and effort seconds does not"),
        (["--device=cpu"], "--device says how to learn, and effort seconds does not"),
        (["--keep-pictures=p.npz"], "keep_pictures: effort seconds makes none"),
        (["--effort=minutes", "--keep-pictures=model.int8.onnx"], "is the output too"),
        (["--frobnicate"], "--frobnicate"),
        (["more.onnx"], "more.onnx"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_option(model: Path, options: list[str], words: str, capsys: Capture) -> None:
    Path("link.onnx").symlink_to(model)
    assert words in refused(capsys, "quantize", model, *options)


@pytest.mark.skipif(os.name != "posix", reason="rights of folders")
def test_folder_that_takes_no_files(model: Path, capsys: Capture) -> None:
    folder = Path("locked")
    folder.mkdir(mode=0o500)
    target = "/proc/out.onnx" if os.access(folder, os.W_OK) else "locked/out.onnx"  # root may write
    assert "cannot be written" in refused(capsys, "quantize", model, "-o", target)


def test_output_is_checked_before_the_work(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "quantize", lambda *_, **__: pytest.fail("work was done"))
    refused(capsys, "quantize", model, "-o", "no/where.onnx")
    refused(capsys, "quantize", model, "--save-plan", "no/where.json")


@pytest.mark.parametrize("name", ["other.json", "other.textproto"])
def test_a_file_is_a_network_or_none_whatever_its_name(
    name: str, model: Path, capsys: Capture
) -> None:
    Path(name).write_text("{}")
    assert name in refused(capsys, "inspect", model, name)
    Path(name).write_bytes(model.read_bytes())
    done(capsys, "inspect", model, name)


@pytest.mark.parametrize("failing", ["plan.json", "model.int8.onnx"])
@pytest.mark.parametrize(
    ("owner", "step"), [(os, "fsync"), (Pending, "place")], ids=["filled", "named"]
)
def test_a_network_and_its_plan_are_written_both_or_not_at_all(
    model: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    owner: object,
    step: str,
) -> None:
    """Whichever the disk takes no more of: as it is filled, or as it gets its name."""
    calls: list[object] = []
    place, real = ("plan.json", "model.int8.onnx").index(failing), getattr(owner, step)

    def full(*given: object, **more: object) -> None:
        calls.append(given)
        if len(calls) == place + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*given, **more)

    monkeypatch.setattr(owner, step, full)
    before = content()
    code = main(["quantize", str(model), "--save-plan=plan.json"])
    out, said = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said.startswith("spiq: error: ")
    assert f"{failing}' cannot be written" in said
    left = content().keys() - before.keys()
    assert left == ({"plan.json"} if "('plan.json' is written)" in said else set())
    assert bool(left) == (step == "place" and failing == "model.int8.onnx")


def test_interruption_leaves_nothing(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lower, "emit", interrupted)
    before = content()
    assert main(["quantize", str(model)]) == 130
    assert content() == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing option '--card'"),
        (["--card=nope.toml"], "cannot read the card"),
        ([CARD, "--limit=0"], "limit is 0"),
        ([CARD, "--batch=0"], "batch is 0"),
        ([CARD, "nope.onnx"], "nope.onnx"),
    ],
)
def test_bad_eval(model: Path, options: list[str], words: str, capsys: Capture) -> None:
    assert words in refused(capsys, "eval", model, *options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shape=image"], "image=1,3,224,224"),
        (["--shape=image=1,3,a"], "image=1,3,224,224"),
        (["--shape=image=1,0,24,24"], "image=1,3,224,224"),
        (["--shape=other=1,3,24,24"], "other"),
        (["--batch=0"], "batch 0"),
        (["nope.onnx"], "nope.onnx"),
    ],
)
def test_bad_bench(model: Path, options: list[str], words: str, capsys: Capture) -> None:
    assert words in refused(capsys, "bench", model, *options)
