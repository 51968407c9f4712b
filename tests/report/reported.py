"""Quantize a small network, gather the facts of it, and follow remedies as a reader would."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import onnx

import spiq
from spiq.cli import main
from spiq.config import Config
from spiq.inspection.compare import compare
from spiq.quantized import Quantized
from spiq.report.diagnosis import diagnose
from spiq.report.facts import Facts
from spiq.report.findings import Finding, Remedy
from spiq.report.gather import gather
from spiq.report.make import of_result

ORDER = "model.onnx"


@dataclass(frozen=True)
class Reported:
    """A quantized network, and what a report finds."""

    made: Quantized
    facts: Facts
    findings: tuple[Finding, ...]

    def finding(self, kind: str) -> Finding:
        found = [one for one in self.findings if one.kind == kind]
        assert found, f"no {kind!r} among {[one.kind for one in self.findings]}"
        return found[0]

    @property
    def snr(self) -> float:
        return snr(self.made.model)


def report_on(model: onnx.ModelProto, *options: str, config: Config | None = None) -> Reported:
    """Quantize a network in the current folder; ``options`` is how ``config`` is typed."""
    Path(ORDER).write_bytes(model.SerializeToString())
    config = config or Config(timing=False)  # what would be faster in float is the machine's
    made = spiq.quantize(ORDER, config)
    command = ("spiq", "quantize", ORDER, *options)
    facts = gather(of_result(made, ORDER, name=ORDER, command=command, config=config))
    return Reported(made, facts, diagnose(facts))


def followed(reported: Reported, remedy: Remedy) -> bytes:
    """Return the network that comes of a remedy: its command is run, or its lines on the plan."""
    if remedy.edits_plan:
        plan = json.loads(reported.made.plan.to_json())
        exec(remedy.code, {"plan": plan})
        return spiq.apply(ORDER, spiq.Plan.from_json(json.dumps(plan))).model
    assert main([*shlex.split(remedy.code)[1:], "--no-timing", "--force", "-o", "mended.onnx"]) == 0
    return Path("mended.onnx").read_bytes()


def snr(quantized: bytes, reference: str | bytes = ORDER) -> float:
    """Return the measured ratio at the first output."""
    output = onnx.load_from_string(quantized).graph.output[0].name
    tensors = {tensor.name: tensor for tensor in compare(reference, quantized).tensors}
    return tensors[output].snr_db
