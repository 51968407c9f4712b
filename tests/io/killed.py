"""Write a network again and again, killed before each call to the system in turn; say what is left.

Usage: python killed.py FOLDER KIND        KIND: small, large, named

Prints one JSON object per line: the calls made, and the files of the folder with their content's
hash, after the kill and after a later writer has written another file beside them.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from spiq.io import write as module
from spiq.io.read import read
from spiq.io.write import write

CALLS = ("open", "fsync", "link", "replace", "unlink")


def network(factor: float) -> ir.Model:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net (float[1,16] x) => (y) { y = MatMul(x, w) }'
    )
    weight = np.linspace(-factor, factor, 16 * 64, dtype=np.float32).reshape(16, 64)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return read(model)


def killing(at: int) -> None:
    """Let this process die before its call number ``at`` of those that change a folder."""
    made = 0

    def counted(name: str) -> None:
        call = getattr(os, name)

        def checked(*arguments: object, **options: object) -> object:
            nonlocal made
            if made == at:
                print(name, end=" ", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            return call(*arguments, **options)

        setattr(os, name, checked)

    for name in CALLS:
        counted(name)


def content(folder: Path) -> dict[str, str]:
    files = sorted(folder.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}


def main(folder: Path, kind: str) -> None:
    os.fsync = lambda number: None  # a killed process needs none, and a disk may take its time
    if kind == "named":
        del os.O_TMPFILE
    if kind == "large":
        module._LIMIT = 1000
    old, new = network(1), network(2)
    for before in (False, True):
        at, ended = 0, -1
        while ended:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            if before:
                write(old, folder / "net.onnx")
            expected = content(folder)
            child = os.fork()
            if child == 0:
                killing(at)
                write(new, folder / "net.onnx")
                os._exit(0)
            ended = os.waitpid(child, 0)[1]
            left = content(folder)
            write(b"other", folder / "other")
            later = content(folder)
            del later["other"]
            shutil.rmtree(folder)
            folder.mkdir()
            write(new, folder / "net.onnx")
            whole = content(folder)
            at += 1
            print(json.dumps({"old": expected, "new": whole, "left": left, "later": later}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
