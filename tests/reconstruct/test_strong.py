"""Effort minutes, from one end to the other."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from strong import LITTLE

import network_kinds as kinds
import spiq
import transformers
from small_modules import torch
from small_networks import build, images_for, run
from spiq import Config, Plan, Quantized, effort
from spiq.convert import convert
from spiq.errors import ConfigError, OutputError, PlanError, UnsupportedError
from spiq.quantized import QuantizeResult
from spiq.reconstruct import blocks, efforts, learning, outcome, pictures, whole
from spiq.signature import plan_of

STRONG = Config(weight_bits=4, activation_bits=4, effort="minutes", device="cpu")


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(efforts.EFFORTS, "minutes", LITTLE)
    monkeypatch.setattr(blocks, "_ALLOWED", ((2, 1),))  # small networks come apart, too
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return kinds.residual()


def error(model: onnx.ModelProto, made: Quantized) -> float:
    feed = images_for(model)
    wanted = run(model, feed)["y"]
    return float(np.square(run(made.model, feed)["y"] - wanted).mean() / wanted.var())


def test_it_loses_less_than_seconds(model: onnx.ModelProto) -> None:
    seconds, minutes = (
        spiq.quantize(model, replace(STRONG, effort=e)) for e in ("seconds", "minutes")
    )
    assert error(model, minutes) < 0.9 * error(model, seconds)
    assert minutes.report.snr_db["y"] > seconds.report.snr_db["y"]
    assert any("learned anew on 24 pictures" in note for note in minutes.report.notes)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = []
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
        made.append(weights(spiq.quantize(model, replace(STRONG, seed=seed))))
    assert made[0] == made[1] != made[2]


def weights(made: Quantized) -> list[bytes]:
    return [held.raw_data for held in onnx.load_from_string(made.model).graph.initializer]


def test_what_was_cut_short_is_taken_up(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = weights(spiq.quantize(model, STRONG))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    descend, learned = learning.Learner._descend, []

    def stopped(self: learning.Learner, block: object, *rest: object) -> None:
        if len(learned) == 1:
            raise KeyboardInterrupt
        learned.append(block)
        descend(self, block, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(learning.Learner, "_descend", stopped)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        spiq.quantize(model, STRONG, progress=told.append)
    assert told[-1] == "stopped: 1 of 2 blocks are kept, and the same command goes on"

    def counted(self: learning.Learner, block: object, *rest: object) -> None:
        learned.append(block)
        descend(self, block, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(learning.Learner, "_descend", counted)
    learned.clear()
    again = weights(spiq.quantize(model, STRONG))
    assert again == whole
    count = len(learned)
    spiq.quantize(model, STRONG)
    assert len(learned) == count  # all is kept by now


def test_what_is_cut_short_behind_the_last_block_says_what_is_kept(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(whole, "missed", stopped)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        spiq.quantize(model, STRONG, progress=told.append)
    assert told[-1] == "stopped: 2 of 2 blocks are kept, and the same command goes on"


def test_pictures_are_made_once_for_all_bits(model: onnx.ModelProto) -> None:
    spiq.quantize(model, STRONG)
    told: list[str] = []
    spiq.quantize(model, replace(STRONG, weight_bits=3), progress=told.append)
    assert "learn" in told and "make pictures" not in told


@pytest.mark.parametrize("kind", [kinds.residual, partial(kinds.depthwise, 0.0, 0.3)])
def test_what_is_learned_is_what_ships(
    kind: Callable[[], onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where steps would grow beyond a ReLU6's bound, too; and the plan can be followed."""
    held, model = list[learning.Learner](), kind()
    learn = learning.Learner.learn

    def seen(self: learning.Learner, *given: Any) -> None:
        held.append(self)
        learn(self, *given)
        with torch.no_grad():
            for key in self.learned.shared.keys() - {*self.learned.grids["x"]}:
                for number in self.learned.shared[key].parameters():
                    number += 0.2
        self.learned.bound(self.learned.shared)

    monkeypatch.setattr(learning.Learner, "learn", seen)
    monkeypatch.setattr(effort, "_UNSURE_DB", np.inf)
    monkeypatch.setattr(outcome.Outcome, "better", True)
    made = spiq.quantize(model, STRONG)
    feed, (learner,) = images_for(model), held
    program, form = learner.program, learner.learned
    with torch.no_grad():
        values = program.begin({"x": torch.from_numpy(feed["x"])}, form)
        program.run(slice(0, len(program.steps)), values, form)
    found = values[program.keys("y", form)[-1]].numpy()
    np.testing.assert_allclose(found, run(made.model, feed)["y"], rtol=1e-5, atol=1e-5)
    read = Plan.from_json(made.plan.to_json())
    assert spiq.apply(model, replace(read, effort="seconds")).plan.tensors == read.tensors


def test_pictures_are_made_anew_where_what_is_known_changes(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    few, told = tmp_path / "few.npz", list[str]()
    images = images_for(model, 4)["x"]
    for scale in (1.0, 0.5):
        np.savez(few, images=(scale * images).astype(np.float32))
        told.clear()
        made = spiq.quantize(model, replace(STRONG, images=few), progress=told.append)
        assert "make pictures" in told
    assert any("and 4 images of yours" in note for note in made.report.notes)


def test_a_cache_that_cannot_be_written_costs_only_the_cache(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    descend, told = learning.Learner._descend, list[str]()
    made = spiq.quantize(model, STRONG)
    assert any("learned anew" in note for note in made.report.notes)
    done: list[object] = []

    def stopped(self: learning.Learner, block: object, *rest: object) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(block)
        descend(self, block, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(learning.Learner, "_descend", stopped)
    with pytest.raises(KeyboardInterrupt):
        spiq.quantize(model, STRONG, progress=told.append)
    assert told[-1].startswith("stopped: nothing is kept, since")


def test_pictures_that_were_cut_short_begin_anew_and_that_is_said(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: pictures.Maker, *given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures.Maker, "made", stopped)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        spiq.quantize(model, STRONG, progress=told.append)
    assert told[-1] == "stopped: pictures were still being made, and begin anew"


def test_a_damaged_cache_is_made_anew(model: onnx.ModelProto, tmp_path: Path) -> None:
    whole = weights(spiq.quantize(model, STRONG))
    kept = sorted((tmp_path / "cache").rglob("*.npz"))
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    assert weights(spiq.quantize(model, STRONG)) == whole


def test_a_plan_says_the_effort_and_is_followed(model: onnx.ModelProto, tmp_path: Path) -> None:
    made = spiq.quantize(model, STRONG)
    path = tmp_path / "plan.json"
    path.write_text(made.plan.to_json())
    assert json.loads(path.read_text())["effort"] == "minutes"
    followed = spiq.apply(model, Plan.load(path))
    assert error(model, followed) < 1.5 * error(model, made)
    assert sum("learned anew" in note for note in followed.report.notes) == 1


def test_a_plan_made_for_minutes_is_followed_as_if_at_once(model: onnx.ModelProto) -> None:
    plan = spiq.plan(model, STRONG)
    assert plan.effort == "minutes"
    told: list[str] = []
    followed = spiq.apply(model, plan, device="cpu", progress=told.append)
    assert "learn" in told and told.count("read") == 1
    assert weights(followed) == weights(spiq.quantize(model, STRONG))
    assert weights(spiq.apply(model, plan, device="cpu", seed=5)) != weights(followed)


def test_a_plan_followed_keeps_pictures(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "pictures.npz"
    spiq.apply(model, spiq.plan(model, STRONG), device="cpu", keep_pictures=path)
    assert np.load(path)["images"].shape == (24, 3, 16, 16)
    with pytest.raises(ConfigError, match="effort seconds makes none"):
        spiq.apply(model, spiq.plan(model), keep_pictures=path)


def test_a_plan_of_minutes_is_learned_for_another_target(model: onnx.ModelProto) -> None:
    made = convert(model, spiq.plan(model, STRONG), "openvino")
    assert made.plan.target == "openvino"
    assert any("learned anew" in note for note in made.report.notes)


def test_a_file_of_minutes_is_learned_for_another_target(model: onnx.ModelProto) -> None:
    made = spiq.quantize(model, STRONG)
    said = plan_of(made.model)
    assert said is not None and said.effort == made.plan.effort == "minutes"
    assert convert(model, said, "openvino").model == convert(model, made.plan, "openvino").model


def test_pareto_is_of_seconds(model: onnx.ModelProto) -> None:
    with pytest.raises(ConfigError, match="pareto weighs what effort seconds gives"):
        spiq.pareto(model, Config(effort="minutes"))


def test_a_plan_of_an_unknown_effort_is_refused(model: onnx.ModelProto) -> None:
    plan = replace(spiq.plan(model), effort="days")
    with pytest.raises(PlanError, match="unknown effort 'days': choose one of seconds"):
        spiq.apply(model, plan)


def test_pictures_are_kept_on_request(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "pictures.npz"
    spiq.quantize(model, replace(STRONG, keep_pictures=path))
    assert np.load(path)["images"].shape == (24, 3, 16, 16)


def test_a_folder_for_pictures_that_is_not_there_is_said_first(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    told: list[str] = []
    with pytest.raises(OutputError, match="nowhere"):
        spiq.quantize(
            model,
            replace(STRONG, keep_pictures=tmp_path / "nowhere" / "a.npz"),
            progress=told.append,
        )
    assert "draw pictures" not in told


def test_real_images_are_learned_from_too(model: onnx.ModelProto, tmp_path: Path) -> None:
    images = images_for(model, 4)["x"]
    np.savez(tmp_path / "few.npz", images=images)
    made = spiq.quantize(model, replace(STRONG, images=tmp_path / "few.npz"))
    assert any(
        "learned anew on 24 pictures made from the network's statistics and 4 images" in note
        for note in made.report.notes
    )


def test_a_network_of_one_picture_at_a_time_is_learned() -> None:
    fixed = kinds.residual()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    made = spiq.quantize(fixed, STRONG)
    assert any(note.startswith("4 of 4 layers were learned anew") for note in made.report.notes)


def test_a_network_that_takes_a_few_pictures_and_no_other_number_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcome.Outcome, "better", True)  # ten pictures leave it in doubt
    body = "a = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w) f = Reshape(a, m) y = Gemm<transB=1>(f, u)"
    sizes = {"w": (8, 3, 3, 3), "u": (5, 512), "m": np.array([5, 512])}
    fixed = build(body, inputs="float[5,3,16,16] x", **sizes)
    made = spiq.quantize(fixed, STRONG)
    assert any("layers were learned anew on 25 pictures" in note for note in made.report.notes)


def test_a_network_of_half_precision_is_learned() -> None:
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 3, 3), "u": (4, 8, 1, 1)}
    half = build(
        "a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, v) q = Relu(b) "
        "y = Conv(q, u)",
        inputs="float16[1,3,16,16] x",
        outputs="float16[1,4,16,16] y",
        **{name: (0.3 * rng.standard_normal(s)).astype(np.float16) for name, s in shapes.items()},
    )
    made = spiq.quantize(half, STRONG)
    assert any("layers were learned anew" in note for note in made.report.notes)


def test_windows_of_pictures_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "_UNSURE_DB", np.inf)  # so little leaves it open
    made = spiq.quantize(transformers.windows(), STRONG)
    assert any("layers were learned anew" in note for note in made.report.notes)


def test_a_result_that_is_worse_is_not_taken(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "_UNSURE_DB", -100.0)
    kept = spiq.quantize(model, STRONG)
    assert kept.plan.effort == "seconds"
    assert weights(kept) == weights(spiq.quantize(model, replace(STRONG, effort="seconds")))
    said = r"effort minutes brought nothing, [\d.]+ dB of SNR where effort seconds has [\d.]+: what"
    assert re.match(said, kept.report.notes[-1])


def test_where_no_block_gets_better_seconds_are_kept_and_that_is_said(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning.Learner, "_descend", lambda *given: None)
    kept = spiq.quantize(model, STRONG)
    assert kept.plan.effort == "seconds"
    assert kept.report.notes[-1] == (
        "effort minutes brought nothing that pictures kept from learning show beyond doubt: what "
        "effort seconds gives is kept"
    )


def test_where_the_network_gets_no_better_seconds_are_kept(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block may be better on what it reads, and all of them together be worse."""
    learn = learning.Learner.learn

    def spoiled(self: learning.Learner, *given: Any) -> None:
        learn(self, *given)
        with torch.no_grad():
            for weight in self.learned.weights.values():
                weight.shift += 0.5

    monkeypatch.setattr(learning.Learner, "learn", spoiled)
    kept = spiq.quantize(model, STRONG)
    assert kept.plan.effort == "seconds"
    assert "brought nothing that pictures kept from learning show" in kept.report.notes[-1]


def result(snr_db: dict[str, float]) -> QuantizeResult:
    return QuantizeResult(
        method="spiq", target="onnxruntime", weight_bits=4, activation_bits=4, layers=(),
        bytes_before=0, bytes_after=0, seconds=0.0, bits_per_weight=4.0, packed_bytes=0,
        snr_db=snr_db,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("learned", "before", "is_no_worse"),
    [
        ({"y": 10.0}, {"y": 10.9}, True),
        ({"y": 10.0}, {"y": 11.1}, False),
        ({"y": 10.0, "z": 8.0}, {"y": 9.0, "z": 10.0}, True),
        ({}, {"y": 10.0}, False),
        ({"y": 10.0}, {}, True),
        ({}, {}, True),
    ],
)
def test_a_result_is_compared_output_by_output(
    learned: dict[str, float], before: dict[str, float], is_no_worse: bool
) -> None:
    assert effort._is_no_worse(result(learned), result(before)) is is_no_worse


def test_a_result_without_any_snr_is_said(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "a = Conv(x, w) r = Relu(a) c = Conv(r, u) y = ArgMax<axis=1>(c)"
    made = build(body, outputs="int64[N,1,M,K] y", w=(8, 3, 3, 3), u=(5, 8, 1, 1))
    found = spiq.quantize(made, STRONG)
    assert found.plan.effort == "minutes"
    assert "no output has an SNR that effort seconds has, too" in found.report.notes[-1]


def test_inputs_that_are_no_picture_are_refused() -> None:
    model = build("y = Gemm<transB=1>(x, w)", inputs="float[N,10] x", w=(4, 10))
    with pytest.raises(UnsupportedError, match="not one picture of floats"):
        spiq.quantize(model, STRONG)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"effort": "days"}, "unknown effort 'days': choose one of seconds, minutes, hours"),
        ({"effort": "minutes", "method": "static"}, "effort minutes is for method spiq"),
        ({"effort": "minutes", "target": "vitis"}, "target vitis does not take"),
        ({"keep_pictures": "a.npz"}, "effort seconds makes none"),
        ({"device": "tpu"}, "unknown device 'tpu': choose one of auto, cpu, cuda"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config(**options)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(model: onnx.ModelProto) -> None:
    with pytest.raises(ConfigError, match="PyTorch finds none: choose cpu, or auto"):
        spiq.quantize(model, replace(STRONG, device="cuda"))
