import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from running import CARD, Capture, content, done, refused

from small_mobilenet import card_path
from spiq.cli import main
from spiq.evaluation.cards.templates import template


def test_check_says_that_all_is_fine(model: Path, capsys: Capture) -> None:
    page = done(capsys, "card", "check", card_path(), f"--model={model}")
    assert "797 images, layout npz" in page
    assert "10 of 10 classes" in page
    assert "first image: class" in page
    assert "fine" in page
    data = json.loads(done(capsys, "card", "check", card_path(), "--json"))
    assert data["ok"]
    assert [step["step"] for step in data["findings"]] == ["card", "data set", "image", "labels"]


def test_check_says_what_is_wrong(capsys: Capture) -> None:
    Path("card.toml").write_text(template("detection"))
    before = content()
    assert main(["card", "check", "card.toml"]) == 2
    page, error = capsys.readouterr()
    assert "data set folder 'coco' not found" in page
    assert error == "spiq: error: card.toml: the check failed at step 'card'\n"
    assert main(["card", "check", "card.toml", "--json"]) == 2
    page, error = capsys.readouterr()
    data = json.loads(page)
    assert (data["ok"], data["findings"][0]["ok"]) == (False, False)
    assert content() == before


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
def test_init(task: str, capsys: Capture) -> None:
    assert done(capsys, "card", "init", "--task", task) == template(task)
    assert content() == {}
    assert done(capsys, "card", "init", f"--task={task}", "-o", "card.toml") == ""
    assert Path("card.toml").read_text() == template(task)
    assert "is there already" in refused(
        capsys, "card", "init", f"--task={task}", "-o", "card.toml"
    )
    assert "there is no folder" in refused(
        capsys, "card", "init", f"--task={task}", "-o", "no/card.toml"
    )


def test_refuses_other_tasks_and_commands(capsys: Capture) -> None:
    assert "unknown task 'pose': choose one of" in refused(capsys, "card", "init", "--task=pose")
    assert "--task" in refused(capsys, "card", "init")
    assert "chekc" in refused(capsys, "card", "chekc")
    assert "check" in done(capsys, "card")


def test_view_is_checked_before_the_work(model: Path, capsys: Capture) -> None:
    Path("pictures").write_text("here")
    assert "is a file" in refused(capsys, "eval", model, CARD, "--limit=1", "--view=pictures")


def test_view(capsys: Capture) -> None:
    pytest.importorskip("PIL")
    Path("images").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    np.savez("images/part.npz", images=images, labels=np.zeros((4, 8, 8), np.uint8))
    Path("card.toml").write_text(
        'name = "tiny"\ntask = "segmentation"\n[dataset]\ndir = "images"\n'
        "[input]\nwidth = 8\nheight = 8\n"
    )
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N,3,8,8] input) => (float[N,3,8,8] logits) { logits = Identity (input) }
    """
    onnx.save(onnx.parser.parse_model(text), "model.onnx")
    command = ("eval", "model.onnx", "model.onnx", "--card=card.toml")
    page = done(capsys, *command, "--view=pictures")
    assert "mIoU of 1 of 3 classes" in page
    assert len(list(Path("pictures").glob("*.png"))) == 4
    assert Path("pictures/index.html").is_file()
    data = json.loads(done(capsys, *command, "--json"))
    assert data["models"][1]["comparison"]["agreement"] == 100
    assert "is not empty" in refused(capsys, *command, "--view=pictures")
    assert "file" in refused(capsys, *command, "--view=card.toml")


def test_what_leads_out_of_the_folder_must_be_allowed(model: Path, capsys: Capture) -> None:
    Path("cards").mkdir()
    text = card_path().read_text().replace('dir = "."', 'dir = "../data"')
    Path("cards/card.toml").write_text(text)
    Path("data").mkdir()
    Path("data/digits.npz").write_bytes(card_path().with_name("digits.npz").read_bytes())
    command = ("eval", model, "--card=cards/card.toml", "--limit=8")
    error = refused(capsys, *command)
    assert (
        "[dataset] dir = '../data' leads out of the card's folder: if you trust the card" in error
    )
    assert "allow it with --outside" in error
    assert "8 images" in done(capsys, *command, "--outside")
    assert "797 images" in done(capsys, "card", "check", "cards/card.toml", "--outside")
    # What a quantization takes from a card opens none of its files.
    done(capsys, "inspect", model, "--card=cards/card.toml", "--json")
