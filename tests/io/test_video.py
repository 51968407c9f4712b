"""Frames of videos that the test itself makes."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from spiq.errors import ConfigError
from spiq.io import video
from spiq.io.images import DecodingError, open_picture
from spiq.io.video import Frame, VideoError, frames, picture
from videos import trim, turn, write


def brightness(frame: Frame) -> float:
    return float(np.asarray(picture(frame)).mean())


@pytest.mark.parametrize("between", [0, 2])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv"])
def test_each_frame_is_the_one_it_says(tmp_path: Path, name: str, between: int) -> None:
    write(tmp_path / name, frames=20, between=between)
    found = frames(tmp_path / name)
    assert [frame.number for frame in found] == list(range(20))
    backwards = [brightness(frame) for frame in reversed(found)]
    assert backwards[::-1] == pytest.approx([8 * number for number in range(20)], abs=6)
    assert found[3].name == f"{name} frame 3"


def test_frames_in_order_take_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    write(tmp_path / "clip.avi", frames=20)
    found, opened = frames(tmp_path / "clip.avi"), []
    monkeypatch.setattr(av, "open", lambda *a, real=av.open, **k: opened.append(a) or real(*a, **k))
    assert [brightness(frame) for frame in found[::3]] == pytest.approx(
        [24 * number for number in range(7)], abs=6
    )
    assert len(opened) == 1
    assert brightness(found[2]) == pytest.approx(16, abs=6)  # back again
    assert len(opened) == 2


def test_frames_go_to_other_processes(tmp_path: Path) -> None:
    write(tmp_path / "clip.avi", frames=4)
    found = frames(tmp_path / "clip.avi")
    brightness(found[1])
    there = pickle.loads(pickle.dumps(found))
    assert there == found
    assert brightness(there[3]) == pytest.approx(24, abs=6)


def test_what_is_stored_and_not_shown_is_no_frame(tmp_path: Path) -> None:
    write(tmp_path / "whole.mp4", frames=20, between=2)
    trim(tmp_path / "whole.mp4", tmp_path / "clip.mp4", frames=5)
    found = [brightness(frame) for frame in frames(tmp_path / "clip.mp4")]
    assert found == pytest.approx([8 * number for number in range(5, 20)], abs=6)


def test_a_video_is_turned_as_it_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", frames=20, left=40)
    turn(tmp_path / "clip.mp4")
    shown = np.asarray(picture(frames(tmp_path / "clip.mp4")[15])).astype(float)
    assert shown.shape == (64, 48, 3)
    assert shown[:24].mean() == pytest.approx(80, abs=8)  # the left half is on top
    assert shown[40:].mean() == pytest.approx(120, abs=8)


def test_of_a_long_video_some_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "MOST", 4)
    write(tmp_path / "clip.mp4", frames=10)
    assert [frame.number for frame in frames(tmp_path / "clip.mp4")] == [0, 2, 5, 7]


def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(VideoError, match=r"broken\.mp4: cannot be read"):
        frames(broken)
    write(tmp_path / "clip.mp4", frames=10)
    whole = frames(tmp_path / "clip.mp4")
    late = Frame(whole[0].path, 99, 10 * whole[-1].time)
    with pytest.raises(DecodingError, match="ends before its frame 99"):
        open_picture(late, "RGB")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'spiq\[video\]'"):
        frames(tmp_path / "clip.mp4")
