"""A user's video: a card that is guessed, and float beside quantized on its frames."""

from pathlib import Path

import numpy as np
import pytest
from running import Capture, done, refused

from videos import write

pytest.importorskip("PIL.Image", reason="needs Pillow: pip install 'spiq[tasks]'")


def card_for(model: Path, data: str, capsys: Capture) -> str:
    from spiq.cli import main

    assert main(["card", "init", str(model), data, "-o", "card.toml"]) == 0
    capsys.readouterr()
    return Path("card.toml").read_text()


def test_frames_of_a_video(model: Path, capsys: Capture) -> None:
    write(Path("clip.mp4"), frames=6)
    card = card_for(model, "clip.mp4", capsys)
    assert 'layout = "pictures"' in card
    assert 'images = "clip.mp4"' in card

    from spiq.cli import main

    networks = [str(model), str(model)]
    assert main(["eval", *networks, "--card=card.toml", "--view=seen"]) == 0
    out, err = capsys.readouterr()
    assert "6 images" in out
    assert "have no labels" in err
    assert sum(path.suffix == ".png" for path in Path("seen").iterdir()) == 6
    assert "clip.mp4-frame-5" in " ".join(path.name for path in Path("seen").iterdir())
    page = Path("seen/index.html").read_text()
    assert "0 of 6 answers are others than the first" in page
    assert "Answers of the first and answers" in page
    assert "right before" not in page


def test_videos_of_a_folder_and_one_picture(model: Path, capsys: Capture) -> None:
    from PIL import Image

    Path("data").mkdir()
    write(Path("data/a.avi"), frames=3)
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save("data/b.png")
    card_for(model, "data", capsys)
    assert "4 images, layout pictures" in done(capsys, "card", "check", "card.toml")
    Path("card.toml").unlink()
    card_for(model, "data/b.png", capsys)
    assert "1 images, layout pictures" in done(capsys, "card", "check", "card.toml")


def test_a_broken_video_is_a_line(model: Path, capsys: Capture) -> None:
    write(Path("clip.mp4"), frames=3)
    card_for(model, "clip.mp4", capsys)
    whole = Path("clip.mp4").read_bytes()
    Path("clip.mp4").write_bytes(whole[: len(whole) // 4])
    said = refused(capsys, "eval", model, "--card=card.toml")
    assert "clip.mp4: cannot be read" in said or "there are no pictures in it" in said


def test_a_folder_and_a_broken_video_leave_the_others(model: Path, capsys: Capture) -> None:
    Path("data/folder.mp4").mkdir(parents=True)
    Path("data/torn.mp4").write_bytes(b"no video at all")
    write(Path("data/clip.mp4"), frames=3)
    card_for(model, "data", capsys)
    from spiq.cli import main

    assert main(["card", "check", "card.toml"]) == 0
    out, err = capsys.readouterr()
    assert "4 images, layout pictures" in out
    assert "left out" in err and "torn.mp4: cannot be read" in err
    assert main(["eval", str(model), str(model), "--card=card.toml"]) == 0
    out, err = capsys.readouterr()
    assert "3 images" in out
    assert "1 images count nowhere" in err
    assert "torn.mp4: cannot be read" in err


def test_without_pyav(model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("clip.mp4"), frames=3)
    card_for(model, "clip.mp4", capsys)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert "pip install 'spiq[video]'" in refused(capsys, "eval", model, "--card=card.toml")
