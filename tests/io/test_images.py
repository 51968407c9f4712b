"""Unlabelled images: folders of files, and arrays read row by row."""

from pathlib import Path

import numpy as np
import pytest

from spiq.errors import ConfigError
from spiq.io import images
from spiq.io.images import listed, resized

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)


def stored(path: Path, array: np.ndarray, key: str = "images") -> Path:
    np.savez_compressed(path, **{key: array})
    return path


def test_rows_of_an_array(tmp_path: Path) -> None:
    found = listed(stored(tmp_path / "a.npz", PIXELS))
    assert (found.count, found.as_fed) == (5, False)
    rows = [array for _, array in found.each("RGB")]
    np.testing.assert_array_equal(rows, PIXELS)


def test_grey_rows_have_one_channel(tmp_path: Path) -> None:
    found = listed(stored(tmp_path / "a.npz", PIXELS[..., 0]))
    assert next(found.each("L"))[1].shape == (6, 7, 1)


def test_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    array = np.float64(PIXELS) / 255
    found = listed(stored(tmp_path / "a.npz", array))
    assert found.as_fed
    np.testing.assert_array_equal([row for _, row in found.each("RGB")], array)


def test_of_many_as_many_are_spread_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST", 2)
    found = listed(stored(tmp_path / "a.npz", PIXELS))
    assert found.said() == f"2 of the 5 images of {tmp_path / 'a.npz'} were looked at"
    rows = [array for _, array in found.each("RGB")]
    np.testing.assert_array_equal(rows, PIXELS[[0, 2]])


def test_files_of_folders_in_order(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    for name in ("b/2.png", "a/9.PNG", "1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS[int(Path(name).stem) % 5]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = listed(tmp_path)
    assert [name for name, _ in found.each("RGB")] == ["1.png", "9.PNG", "2.png"]
    np.testing.assert_array_equal(next(found.each("RGB"))[1], PIXELS[1])


def test_pixels_are_resized() -> None:
    pytest.importorskip("PIL")
    assert resized(PIXELS[0], 12, 9).shape == (12, 9, 3)
    assert resized(PIXELS[0, ..., :1], 3, 3).shape == (3, 3, 1)
    assert resized(PIXELS[0], 6, 7) is PIXELS[0] or np.shares_memory(PIXELS, PIXELS[0])


@pytest.mark.parametrize(
    ("array", "key", "words"),
    [
        (PIXELS, "pictures", "no array 'images', only pictures"),
        (PIXELS.astype(np.int64), "images", "store pixels as uint8"),
        (PIXELS[:0], "images", "[0, 6, 7, 3]"),
        (np.asfortranarray(PIXELS), "images", "row by row"),
        (np.array(["a"]), "images", "store pixels as uint8"),
        (np.array([None]), "images", "store pixels as uint8"),
    ],
)
def test_arrays_that_hold_no_images(
    tmp_path: Path, array: np.ndarray, key: str, words: str
) -> None:
    with pytest.raises(ConfigError, match="--images") as caught:
        listed(stored(tmp_path / "a.npz", array, key))
    assert words in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_files_that_are_no_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"neither a folder nor a readable \.npz file"):
        listed(tmp_path / "a.npz")


def test_an_array_that_is_cut_short(tmp_path: Path) -> None:
    path = stored(
        tmp_path / "a.npz", np.random.default_rng(0).integers(0, 9, (9, 99, 99), np.uint8)
    )
    data = bytearray(path.read_bytes())
    data[3000:20000] = bytes(17000)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not readable"):
        list(listed(path).each("L"))


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no image files"):
        listed(tmp_path)
    with pytest.raises(ConfigError, match="No such file"):
        listed(tmp_path / "nowhere")


def test_files_that_are_no_images(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ConfigError, match=r"a\.png: cannot be decoded"):
        list(listed(tmp_path).each("RGB"))


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_text("never opened")
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"pip install 'spiq\[tasks\]'"):
        listed(tmp_path)
