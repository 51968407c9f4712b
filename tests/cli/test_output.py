"""What is printed, whatever characters the names in it are of."""

import json

import pytest
from rich.text import Text
from running import Capture, done

from spiq.cli import output
from spiq.cli.render import cells


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, — and ümlaut", "plain, — and ümlaut"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("right\u202eleft", r"right\u202eleft"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert output.plain(text) == shown


def test_names_in_tables_and_warnings_do_nothing_to_a_terminal(capsys: Capture) -> None:
    output.show(Text("layer \x1b]0;title\x07"))
    output.warn("layer \x1b[2J\nand more")
    page, error = capsys.readouterr()
    assert "\x1b" not in page + error
    assert error == "spiq: warning: layer \\x1b[2J and more\n"


def test_a_name_of_two_lines_feigns_none(capsys: Capture) -> None:
    name = "layer\nspiq: error: feigned"
    output.show(cells.page(cells.note(name), cells.Name(name)))
    page = capsys.readouterr().out
    assert "\nspiq" not in page.replace("\n ", "\n")
    assert page.count(r"layer\nspiq: error: feigned") == 2


def test_a_note_loses_no_words_to_what_is_written_out(capsys: Capture) -> None:
    words = " ".join(f"word{index}" for index in range(60))
    output.show(cells.page(cells.note("\x1b[2J\x1b[31mred: " + words)))
    assert " ".join(capsys.readouterr().out.split()).endswith(words)


def test_no_field_of_a_quantization_is_always_null(model: object, capsys: Capture) -> None:
    layers = json.loads(done(capsys, "quantize", model, "--json"))["layers"]
    always = {name for name in layers[0] if all(layer[name] is None for layer in layers)}
    assert always == set()


def test_a_message_of_any_length_is_a_line_that_can_be_read() -> None:
    line = output.one_line("plan: " + "x" * 100_000 + ": make a new one")
    assert len(line) < 1100
    assert line.startswith("plan: xxx")
    assert line.endswith("xxx: make a new one")
