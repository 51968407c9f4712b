"""Run the command line and end it at given moments: signals that the process sends itself.

Usage: python interrupted.py MODEL.onnx SIGNAL WHEN [SIGNAL WHEN]...

WHEN is ``import:NAME`` (as that module is looked for), ``exit`` (as the interpreter ends),
``step:NAME`` (as that step of the pipeline begins) or ``call:MODULE:NAME`` (as that function is
called). The last two run in a child each, which has imported everything already, and what it
returned, what it said and which files it left is printed as a line of JSON.
"""

import atexit
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

OUT, SCRATCH, SAID = Path("out"), Path("scratch"), Path("said")


class Finder:
    """Sends a signal when a module is looked for."""

    def __init__(self, name: str, number: int) -> None:
        self._name, self._number = name, number

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == self._name:
            os.kill(os.getpid(), self._number)
        return None


def at_step(name: str, number: int) -> None:
    from spiq import pipeline

    quantize = pipeline.quantize

    def watched(*arguments: object, progress: object, **options: object) -> object:
        def tell(step: str) -> None:
            progress(step)  # type: ignore[operator]
            if step == name:
                os.kill(os.getpid(), number)

        return quantize(*arguments, progress=tell, **options)  # type: ignore[arg-type]

    pipeline.quantize = watched  # type: ignore[assignment]


def at_call(place: str, number: int) -> None:
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    function = getattr(found, name)

    def watched(*arguments: object, **options: object) -> object:
        os.kill(os.getpid(), number)
        return function(*arguments, **options)

    setattr(found, name, watched)


def in_a_child(model: str, number: int, kind: str, what: str) -> None:
    for folder in (OUT, SCRATCH):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (OUT / "net.onnx").write_text("old")
    child = os.fork()
    if child == 0:
        os.dup2(os.open(SAID, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            (at_step if kind == "step" else at_call)(what, number)
            os._exit(main(["quantize", model, "-o", str(OUT / "net.onnx"), "--force"]))
        except BaseException:  # to end as usual, the runtime waits for threads left in the parent
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    files = sorted(path.name for folder in (OUT, SCRATCH) for path in folder.iterdir())
    old = (OUT / "net.onnx").read_bytes() == b"old"
    print(json.dumps({"code": code, "said": SAID.read_text().strip(), "files": files, "old": old}))


if __name__ == "__main__":
    model, *rest = sys.argv[1:]
    numbers = [getattr(signal, name) for name in rest[::2]]
    moments = [when.partition(":")[::2] for when in rest[1::2]]
    if moments[0][0] == "import":
        sys.meta_path.insert(0, Finder(moments[0][1], numbers[0]))  # type: ignore[arg-type]
    from spiq.cli import main

    if moments[0][0] in ("import", "exit"):
        if moments[0][0] == "exit":
            atexit.register(os.kill, os.getpid(), numbers[0])
        sys.argv = ["spiq", "quantize", model, "-o", str(OUT / "net.onnx"), "--force"]
        sys.exit(main())
    from spiq import pipeline  # noqa: F401
    from spiq.cli.render.tables import quantization  # noqa: F401

    for number, moment in zip(numbers, moments, strict=True):
        in_a_child(model, number, *moment)
