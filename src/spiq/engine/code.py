"""What tells two installations of spiq apart: its code, by a hash, and the runtime's version."""

import hashlib
import json
from collections.abc import Collection
from functools import cache
from pathlib import Path

import onnxruntime as ort

import spiq


def file_hash(path: Path) -> str:
    """Hash a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_hash(*parts: str) -> str:
    """Hash texts, each apart from the next."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def code_hash(*, without: Collection[str] = ()) -> str:
    """Hash the code of spiq but for the rooms ``without``, and the runtime's version."""
    root = Path(spiq.__file__).parent
    files = {file.relative_to(root): file for file in root.rglob("*.py")}
    relevant = {name: file for name, file in files.items() if name.parts[0] not in without}
    digests = {name.as_posix(): file_hash(file) for name, file in relevant.items()}
    return text_hash(spiq.__version__, ort.__version__, json.dumps(digests, sort_keys=True))
