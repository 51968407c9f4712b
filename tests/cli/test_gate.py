"""A network that is worse than its baseline stops at the gate."""

import json
from pathlib import Path

import onnx
import pytest
import yaml
from running import CARD, Capture, content, done, refused

import spiq
from small_mobilenet import card_path
from spiq.cli import main

BASELINE = Path("spiq-baseline.json")
GATE = ("gate", "model.onnx", "out.onnx", CARD, "--limit=100", "--threads=1")


@pytest.fixture(autouse=True)
def _quantized(model: Path) -> None:
    made = spiq.quantize(model, spiq.Config(timing=False))
    Path("out.onnx").write_bytes(made.model)


def edit(name: str, **values: float) -> None:
    stored = json.loads(BASELINE.read_text())
    stored["checks"][name] |= values
    BASELINE.write_text(json.dumps(stored))


def failed(capsys: Capture, *arguments: str) -> str:
    assert main([*GATE, *arguments]) == 3
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_same_network_passes(capsys: Capture) -> None:
    page = done(capsys, *GATE, "--update")
    assert "gate passed: out.onnx, 100 images of mobilenetv2-digits" in page
    stored = json.loads(BASELINE.read_text())
    assert stored["format"] == "spiq/baseline/1"
    assert list(stored["checks"]) == ["top-1 %", "agreement %", "SNR of logits, dB", "size, bytes"]
    before = content()
    assert done(capsys, *GATE) == page
    assert content() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("top-1 %", 101.0), ("SNR of logits, dB", 60.0), ("size, bytes", 1000.0)],
)
def test_worse_is_exit_code_3(name: str, value: float, capsys: Capture) -> None:
    done(capsys, *GATE, "--update")
    edit(name, value=value, may_lose=0.5)
    page = failed(capsys)
    assert "gate failed" in page and page.count("worse") == 1 + page.count("is worse")
    edit(name, may_lose=1e6)
    assert "gate passed" in done(capsys, *GATE)


def test_better_passes_and_an_update_keeps_tolerances_and_checks(capsys: Capture) -> None:
    done(capsys, *GATE, "--update")
    stored = json.loads(BASELINE.read_text())
    stored["checks"] = {"top-1 %": {"value": 50.0, "may_lose": 0.25}}
    BASELINE.write_text(json.dumps(stored))
    assert "gate passed" in done(capsys, *GATE)
    done(capsys, *GATE, "--update")
    checks = json.loads(BASELINE.read_text())["checks"]
    assert list(checks) == ["top-1 %"]
    assert checks["top-1 %"]["may_lose"] == 0.25 and checks["top-1 %"]["value"] > 90


def test_summary_and_json(capsys: Capture) -> None:
    Path("summary.md").write_text("before\n")
    done(capsys, *GATE, "--update", "--summary=summary.md")
    edit("top-1 %", value=101.0)
    found = json.loads(failed(capsys, "--json", "--summary=summary.md"))
    assert (found["schema"], found["passed"]) == ("spiq/gate/1", False)
    assert [check["passed"] for check in found["checks"]] == [False, True, True, True]
    text = Path("summary.md").read_text()
    assert text.startswith("before\n### spiq gate passed: mobilenetv2-digits\n")
    assert "### spiq gate **failed**" in text
    assert "| top-1 % | 101 | 100 | -1 | 0.5 | **worse** |" in text
    assert "commit a new baseline" in text


def test_speed_where_it_is_asked_for(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from spiq.gate import judge

    compare = judge.compare
    monkeypatch.setattr(
        judge, "compare", lambda models, **how: compare(models, **(how | {"seconds": 0.05}))
    )
    done(capsys, *GATE, "--update", "--speed")
    edit("times as fast", value=1000.0)
    assert "times as fast" in failed(capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "spiq/baseline/9"}, "not a baseline of this format, spiq/baseline/1"),
        ({"checks": {"f1": {"value": 1, "may_lose": 0}}}, "the baseline checks 'f1', and what"),
        ({"checks": {"top-1 %": {"value": 1}}}, "not a baseline of this format"),
        ({"images": 9}, "the baseline is of 9 images of 'mobilenetv2-digits', and these are 100"),
        (None, "cannot read the baseline: No such file or directory: write one with --update"),
    ],
)
def test_other_baselines_are_refused(
    change: dict[str, object] | None, message: str, capsys: Capture
) -> None:
    if change is not None:
        done(capsys, *GATE, "--update")
        BASELINE.write_text(json.dumps(json.loads(BASELINE.read_text()) | change))
    assert message in refused(capsys, *GATE)


def test_no_json_is_refused(capsys: Capture) -> None:
    BASELINE.write_text("{")
    assert "not a baseline" in refused(capsys, *GATE)
    BASELINE.unlink()
    assert "there is no folder" in refused(capsys, *GATE, "--update", "--summary=no/s.md")


def test_the_workflow_runs_commands_that_there_are(capsys: Capture) -> None:
    file = Path(__file__).parents[2] / "examples" / "spiq-gate.yml"
    steps = yaml.safe_load(file.read_text())["jobs"]["gate"]["steps"]
    commands = [step["run"] for step in steps if step.get("run", "").startswith("spiq ")]
    assert len(commands) == 2
    Path("card.toml").write_text(card_path().read_text())
    Path("digits.npz").write_bytes(card_path().with_name("digits.npz").read_bytes())
    for command in commands:
        arguments = command.split()[1:]
        if "gate" in arguments:
            done(capsys, *arguments[:5], "--update")
        done(capsys, *arguments)
    assert "gate passed" in Path("gate.md").read_text()


def answers_all_alike(path: str, logit: float) -> None:
    """Write a network that answers the same of every class, to every image."""
    content = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        alike (float[N,3,24,24] image) => (float[N,10] logits)
        <float[1] zero = {{0}}, float[10] bias = {{{", ".join([str(logit)] * 10)}}}>
        {{ flat = Flatten (image) mean = ReduceMean <axes = [1]> (flat)
           none = Mul (mean, zero) logits = Add (none, bias) }}
    """
    onnx.save(onnx.parser.parse_model(content), path)


def test_an_output_without_a_ratio_is_not_checked(capsys: Capture) -> None:
    answers_all_alike("model.onnx", 1.0)
    answers_all_alike("out.onnx", 1.1)
    done(capsys, *GATE, "--update")
    stored = json.loads(BASELINE.read_text(), parse_constant=pytest.fail)
    assert list(stored["checks"]) == ["top-1 %", "agreement %", "size, bytes"]
    assert "gate passed" in done(capsys, *GATE)
