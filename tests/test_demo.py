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


def test_one_scale_for_all_channels_loses_and_spiq_does_not(result: run.DemoResult) -> None:
    float32, static, own = result.rows
    assert float32.snr_db is None
    assert float32.top1.value > 98.5
    assert static.top1.value < float32.top1.value - 5
    assert static.snr_db is not None and static.snr_db < 10
    assert own.top1.value > float32.top1.value - 0.3
    assert own.agreement > 99.5
    assert own.snr_db is not None and own.snr_db > 35


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
