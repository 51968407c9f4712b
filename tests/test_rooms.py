"""A room of many files says in its docstring which of them does what."""

import ast
import re
from pathlib import Path

import pytest

import spiq

SOURCE = Path(spiq.__file__).parent
MANY = 5

ROOMS = {
    str(folder.parent.relative_to(SOURCE)): folder.read_text("utf-8")
    for folder in sorted(SOURCE.glob("*/**/__init__.py"))
}


def modules(room: str) -> set[str]:
    inside = (path for path in (SOURCE / room).iterdir() if not path.name.startswith("_"))
    return {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").exists()}


@pytest.mark.parametrize("room", [room for room in ROOMS if len(modules(room)) > MANY])
def test_a_room_of_many_files_names_each(room: str) -> None:
    unnamed = modules(room) - set(re.findall(r"\w+", ROOMS[room]))
    assert not unnamed, f"say in spiq/{room}/__init__.py what they do"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_no_file_that_is_gone(room: str) -> None:
    said = ast.get_docstring(ast.parse(ROOMS[room])) or ""
    table = re.findall(r"^(\w+(?:, \w+)*,?)(?: {2,}\S.*)?$", said, flags=re.MULTILINE)
    assert {name for names in table for name in re.findall(r"\w+", names)} <= modules(room)
