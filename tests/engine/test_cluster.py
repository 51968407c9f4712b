"""A Ray cluster of two machines: what ends there, what dies, and a sweep that loses both kinds."""

import json
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import played_jobs
import pytest
from two_nodes import TwoNodes, two_nodes

import spiq
from small_mobilenet import card_path, model_path
from spiq.engine.choose import opened
from spiq.engine.job import Ended, Job
from spiq.errors import ConfigError
from spiq.evaluation import Division, evaluate
from spiq.sweep import cells
from spiq.sweep.run import SweepProgress, run

LATE = 5
"""Cells after which a machine goes even if it has nothing to do just then."""

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("default"),  # what Ray's own modules warn of
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with two_nodes() as made:
        yield made


def told(*jobs: Job, **options: Any) -> list[tuple[Job, Any]]:
    with opened("auto", **options) as engine:
        return list(engine.attend(deque(jobs)))


def test_ends_in_every_way(cluster: TwoNodes, capfd: pytest.CaptureFixture[str]) -> None:
    fine, raised = Job(played_jobs.counts, 3), Job(played_jobs.raises, "no\nluck")
    killed = Job(played_jobs.kills_itself, 9)
    heard = told(fine, raised, killed)
    assert [message for job, message in heard if job is fine] == [0, 1, 2, Ended()]
    assert [message for job, message in heard if job is raised] == [
        "here",
        Ended("ValueError: no luck", "raised"),
    ]
    first, ended = (message for job, message in heard if job is killed)
    assert (first, ended.cause) == ("here", "died")
    assert ended.problem.startswith("its process on ")
    assert "\n" not in ended.problem
    assert capfd.readouterr().out == ""


def test_threads_and_memory_are_reckoned_with(cluster: TwoNodes) -> None:
    job = Job(played_jobs.environment, ("OMP_NUM_THREADS",))
    assert [message for _, message in told(job, threads=2)] == ["2", Ended()]
    with opened("auto") as one, opened("auto", threads=2) as two, opened("auto", jobs=1) as most:
        assert (one.jobs, two.jobs, most.jobs) == (4, 2, 1)
    with opened("auto", memory=1 << 50) as engine:
        assert engine.jobs == 1  # it waits in Ray for a machine that has so much


def test_another_spiq_is_refused(cluster: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spiq.engine.cluster.code_hash", lambda: "another")
    with pytest.raises(ConfigError, match="has another version of spiq or of onnxruntime"):
        told(Job(played_jobs.waits, 60.0))


def test_an_evaluation_loses_a_process(cluster: TwoNodes) -> None:
    """Figures are those of one process, to the last digit."""
    hurt = list[int]()

    def hurtful(done: int, total: int) -> None:
        if not hurt and cluster.kill_one():
            hurt.append(done)

    models = [str(model_path()), spiq.quantize(model_path()).model]
    division = Division(on="auto", shards=3)
    divided = evaluate(models, card_path(), division=division, threads=1, progress=hurtful)
    whole = evaluate(models, card_path(), threads=1)
    assert hurt
    assert divided.images == whole.images
    for one, other in zip(whole.models, divided.models, strict=True):
        assert (one.metric, one.top5, one.comparison) == (
            other.metric,
            other.top5,
            other.comparison,
        )


def test_a_sweep_loses_a_process_and_then_a_machine(cluster: TwoNodes, tmp_path: Path) -> None:
    """What is done stays done, what is not is done elsewhere, and nothing is there twice."""
    widths = cells.bits("W8A8,W7A7,W6A6,W5A5", ["static", "squant"])
    hurt, seen = [], Counter[int]()

    def hurtful(now: SweepProgress) -> None:
        seen[now.done] += 1
        if not hurt:
            if cluster.kill_one():
                hurt.append(now.done)
        elif len(hurt) == 1 and now.done >= 2 and (cluster.workers(1) or now.done >= LATE):
            cluster.remove(1)
            hurt.append(now.done)

    found = run(
        cells.subjects([str(card_path())], limit=16),
        ["static", "squant"],
        widths,
        folder=tmp_path / "kept",
        on="auto",
        latency=False,
        progress=hurtful,
    )
    assert len(hurt) == 2
    assert found.measured == len(found.cells) == 8
    assert {cell.state for cell in found.cells} == {"done"}
    assert (min(seen), max(seen)) == (0, 8)
    stored = [json.loads(file.read_text()) for file in (tmp_path / "kept").rglob("*.json")]
    assert len(stored) == len({x["key"] for x in stored}) == 8

    here = run(
        cells.subjects([str(card_path())], limit=16), ["static", "squant"], widths,
        folder=tmp_path / "here", latency=False,
    )  # fmt: skip
    assert [_figures(cell) for cell in here.cells] == [_figures(cell) for cell in found.cells]


def _figures(cell: Any) -> tuple[Any, ...]:
    return cell.method, cell.bits, cell.score.value, cell.score.difference, cell.score.snr_db
