"""Each cause that a report names has a network here that has it, and its remedy helps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reported import ORDER, Reported, followed, report_on, snr
from reported_networks import (
    folded,
    network,
    with_a_wide_channel,
    with_a_wide_operand,
    with_false_statistics,
)

from small_networks import images_for, run
from spiq.config import Config
from spiq.report.diagnosis import diagnose
from spiq.report.findings import Finding, Remedy

pytestmark = pytest.mark.end_to_end


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def gained(reported: Reported, remedy: Remedy) -> float:
    """Return by how many dB following a remedy raises the measured ratio."""
    return snr(followed(reported, remedy)) - reported.snr


def test_few_bit_weights_get_more() -> None:
    config = Config(weight_bits=3, timing=False)
    reported = report_on(network(), "--weight-bits", "3", config=config)
    finding = reported.finding("few-bit weights")
    assert "at 3 bits" in finding.cause
    edit, option = finding.remedies
    assert edit.edits_plan
    assert gained(reported, edit) > 3
    assert gained(reported, option) > 3


def test_a_wide_channel_gets_a_scale_of_its_own() -> None:
    config = Config(method="static", timing=False)
    reported = report_on(with_a_wide_channel(), "--method", "static", config=config)
    finding = reported.finding("wide channel")
    assert finding.where == ("c2",)
    assert "Channel 3 of r1 is" in finding.cause
    scales, in_float = finding.remedies
    assert scales.code == "spiq quantize model.onnx --method spiq"
    assert gained(reported, scales) > 10
    assert gained(reported, in_float) > 2


def test_spiq_leaves_no_channel_too_wide() -> None:
    assert not [one for one in report_on(with_a_wide_channel()).findings]


def test_spiq_cannot_scale_the_channels_of_a_product() -> None:
    reported = report_on(with_a_wide_operand())
    (finding,) = reported.findings
    assert (finding.kind, finding.where) == ("wide channel", ("product",))
    assert "A product of two tensors has no weights" in finding.cause
    (in_float,) = finding.remedies
    assert in_float.code == "spiq quantize model.onnx --exclude q --exclude product"
    assert gained(reported, in_float) > 10


def test_what_is_clipped_gets_a_wider_range() -> None:
    reported = report_on(with_false_statistics())
    finding = reported.finding("clipped")
    assert finding.where == ("head",)
    widen, in_float = finding.remedies
    assert widen.edits_plan
    assert gained(reported, widen) > 3
    assert gained(reported, in_float) > 3


def test_a_sensitive_layer_stays_in_float() -> None:
    reported = report_on(with_false_statistics())
    finding = reported.finding("sensitive")
    assert gained(reported, finding.remedies[0]) > 0.02


COARSE = Config(activation_bits=6, timing=False)
"""What activations lose is more than what weights do."""

RANGE = ("--input-range=-2.118,2.64",)
TOLD = Config(input_range=((-2.118, 2.64),), activation_bits=6, timing=False)


def unknown() -> tuple[Reported, Finding]:
    reported = report_on(folded(network()), *RANGE, "--activation-bits", "6", config=TOLD)
    return reported, reported.finding("unknown statistics")


def test_unknown_statistics_are_kept_in_the_file() -> None:
    reported, finding = unknown()
    Path("KEPT.onnx").write_bytes(network().SerializeToString())
    kept = finding.remedies[0]
    assert kept.needs.startswith("KEPT.onnx")
    assert gained(reported, kept) > 0.5


def test_unknown_statistics_are_sharpened_by_images() -> None:
    reported, finding = unknown()
    images = images_for(network(), 16)["x"]
    np.savez("FOLDER.npz", images=images)
    shown = finding.remedies[1]
    code = shown.code.replace("FOLDER", "FOLDER.npz").replace(f" {RANGE[0]}", "")
    with_images = Remedy(text=shown.text, code=code)
    assert gained(reported, with_images) > 0.5


def test_an_unsure_input_is_told() -> None:
    model = folded(network((16, 16), low=-1.0, high=1.0))
    reported = report_on(model, "--activation-bits", "6", config=COARSE)
    finding = reported.finding("input range unsure")
    told = finding.remedies[0]
    assert told.code == f"spiq quantize {ORDER} --activation-bits 6 --input-range=-1,1"
    assert "2.4 times as wide" in finding.cause

    # on the pictures that the network is made for, whatever range a grid has
    feed = images_for(model, 64, -1.0, 1.0)
    expected = run(model, feed)["y"]
    errors = [
        float(np.square(run(made, feed)["y"] - expected).sum())
        for made in (reported.made.model, followed(reported, told))
    ]
    assert errors[1] < errors[0]


def test_an_unsure_input_is_told_by_mean_and_deviation() -> None:
    """On the pictures that the network is made for, as above."""
    model = folded(network((16, 16), low=-1.0, high=1.0))
    reported = report_on(model, "--activation-bits", "6", config=COARSE)
    other = reported.finding("input range unsure").remedies[1]
    own = other.code.replace("123.675,116.28,103.53", "127.5,127.5,127.5")
    own = own.replace("58.395,57.12,57.375", "127.5,127.5,127.5")
    assert own != other.code
    feed = images_for(model, 64, -1.0, 1.0)
    expected = run(model, feed)["y"]
    before, after = (
        float(np.square(run(made, feed)["y"] - expected).sum())
        for made in (reported.made.model, followed(reported, Remedy(text=other.text, code=own)))
    )
    assert after < before


def test_one_of_several_inputs_is_told_by_name() -> None:
    facts = report_on(folded(network((16, 16), low=-1.0, high=1.0))).facts
    one = facts.inputs[0]
    two = replace(facts, inputs=(one, replace(one, name="other", sure=True)))
    (finding,) = [found for found in diagnose(two) if found.kind == "input range unsure"]
    assert finding.remedies[0].code == f"spiq quantize {ORDER} --input-range=x=-1,1"


def test_a_followed_plan_is_edited_and_gets_no_options() -> None:
    reported = report_on(with_false_statistics(), "--plan", "plan.json")
    in_float = reported.finding("clipped").remedies[-1]
    assert in_float.code == (
        'plan["left_in_float"]["p"] = "it costs too much"\n'
        'plan["left_in_float"]["head"] = "it costs too much"'
    )
    assert gained(reported, in_float) > 3


def test_a_fine_network_has_no_findings() -> None:
    assert report_on(network()).findings == ()
