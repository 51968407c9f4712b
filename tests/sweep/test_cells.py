import shutil
from pathlib import Path

import onnx
import pytest

import spiq
from small_mobilenet import card_path, model_path
from spiq.engine.code import code_hash
from spiq.errors import CardError, ConfigError, ModelError
from spiq.methods import METHODS
from spiq.sweep import cells
from spiq.sweep.cells import Bits, Cell


def test_methods() -> None:
    assert cells.methods(None) == tuple(METHODS)
    assert cells.methods("static, spiq,static") == ("static", "spiq")
    for text, words in ((" ,", "no method is named"), ("spiq,magic", "unknown method 'magic'")):
        with pytest.raises(ConfigError, match=words):
            cells.methods(text)


def test_bits() -> None:
    assert cells.bits("W8A8,w4a8, W8A8", ["spiq"]) == (Bits(8, 8), Bits(4, 8))
    assert str(Bits(4, 8)) == "W4A8"
    for text in ("8", "W8", "W8A8x", "A8W8"):
        with pytest.raises(ConfigError, match="write them like W8A8"):
            cells.bits(text, ["spiq"])
    with pytest.raises(ConfigError, match="no bit width"):
        cells.bits(",", ["spiq"])
    with pytest.raises(ConfigError, match="bits 'W9A8': weight_bits is 9"):
        cells.bits("W8A8,W9A8", ["spiq", "static"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the shipped card, images and network."""
    for name in ("card.toml", "model.onnx", "digits.npz"):
        shutil.copy(card_path().with_name(name), tmp_path)
    return tmp_path


def key(home: Path, text: str = "card.toml", *, limit: int | None = None) -> str:
    (subject,) = cells.subjects([str(home / text)], limit=limit)
    return Cell(subject=subject, method="spiq", bits=Bits(8, 8)).key


def test_network_lies_beside_the_card_or_is_named(home: Path) -> None:
    (subject,) = cells.subjects([str(home / "card.toml")])
    assert (subject.name, subject.model) == ("mobilenetv2-digits", home / "model.onnx")
    (home / "model.onnx").rename(home / "other.onnx")
    (subject,) = cells.subjects([f"{home / 'card.toml'}={home / 'other.onnx'}"])
    assert subject.model == home / "other.onnx"
    with pytest.raises(ModelError, match=r"card\.toml=MODEL\.onnx"):
        cells.subjects([str(home / "card.toml")])


def test_refuses_cards(home: Path) -> None:
    card = str(home / "card.toml")
    with pytest.raises(ConfigError, match="no card"):
        cells.subjects([])
    with pytest.raises(CardError, match="cannot read the card"):
        cells.subjects([str(home / "nope.toml")])
    with pytest.raises(ConfigError, match="limit is 0"):
        cells.subjects([card], limit=0)
    with pytest.raises(ConfigError, match="have one name, 'mobilenetv2-digits'"):
        cells.subjects([card, str(card_path())])
    assert len(cells.subjects([card, card])) == 1


def test_key_is_that_of_the_content(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key(home), key(home, limit=4)]
    assert key(home) == keys[0]
    (subject,) = cells.subjects([str(home / "card.toml")])
    keys += [Cell(subject=subject, method="static", bits=Bits(8, 8)).key]
    keys += [Cell(subject=subject, method="spiq", bits=Bits(4, 8)).key]
    with (home / "card.toml").open("a") as stream:
        stream.write("# changed\n")
    keys += [key(home)]
    (home / "model.onnx").write_bytes(model_path().read_bytes() + b"\x3a\x00")
    keys += [key(home)]
    monkeypatch.setattr(spiq, "__version__", "99")
    code_hash.cache_clear()
    keys += [key(home)]
    monkeypatch.undo()
    code_hash.cache_clear()
    assert len(set(keys)) == len(keys)


def test_key_covers_external_weights(home: Path) -> None:
    model = onnx.load(model_path())
    onnx.save(model, home / "model.onnx", save_as_external_data=True, location="weights")
    before = key(home)
    content = bytearray((home / "weights").read_bytes())
    content[100] ^= 1
    (home / "weights").write_bytes(content)
    assert key(home) != before


def test_key_of_a_file_that_is_no_network(home: Path) -> None:
    (home / "model.onnx").write_bytes(b"no network")
    assert key(home)


def test_cells_come_by_network_bits_and_method() -> None:
    subjects = cells.subjects([str(card_path())])
    made = cells.cells(subjects, ["spiq", "static"], [Bits(8, 8), Bits(4, 4)])
    assert [(cell.method, str(cell.bits)) for cell in made] == [
        ("spiq", "W8A8"),
        ("static", "W8A8"),
        ("spiq", "W4A4"),
        ("static", "W4A4"),
    ]


def test_config_says_what_the_pixels_become() -> None:
    (subject,) = cells.subjects([str(card_path())])
    cell = Cell(subject=subject, method="static", bits=Bits(4, 6))
    config = cell.config(spiq.evaluation.read(card_path()))
    assert (config.method, config.weight_bits, config.activation_bits) == ("static", 4, 6)
    assert config.input_range is not None
    assert config.input_range[0] == pytest.approx((-78 / 96, 177 / 96))
