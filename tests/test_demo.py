"""The demo: what it finds, and that it leaves nothing behind."""

import tempfile
from pathlib import Path

import pytest

from spiq.demo import run


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> run.DemoResult:
    folder = tmp_path_factory.mktemp("demo")
    steps: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.chdir(folder)
        found = run.run(seconds=0.1, progress=steps.append)
    assert steps == list(run.STEPS)
    assert list(folder.iterdir()) == []
    return found


def test_rows(result: run.DemoResult) -> None:
    assert [row.name for row in result.rows] == ["float32", "static int8", "spiq int8"]
    assert result.images == 797


def test_accuracy_stays(result: run.DemoResult) -> None:
    for row in result.rows:
        assert row.top1.value > 97.5
        assert row.agreement > 99
    assert result.rows[0].snr_db is None
    assert all(row.snr_db is not None and row.snr_db > 30 for row in result.rows[1:])


def test_smaller_and_timed(result: run.DemoResult) -> None:
    first, *others = result.rows
    assert first.times_as_fast is None
    for row in others:
        assert row.bytes < first.bytes / 2
        assert row.milliseconds > 0
        faster = first.milliseconds / row.milliseconds
        assert row.times_as_fast.value == pytest.approx(faster)


def test_package_holds_no_new_files() -> None:
    names = {path.name for path in Path(run.__file__).parent.iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", "run.py", "model.onnx", "card.toml", "digits.npz"}
