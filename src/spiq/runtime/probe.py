"""Run a network in OpenVINO once in a child process, to see whether that survives it.

The child reads what to do from stdin. A crash, which no ``except`` catches, is then an exit code.
"""

import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SECONDS = 300
"""After so long a runtime is taken to hang."""


@dataclass(frozen=True)
class Work:
    """A network for a child process.

    Attributes:
        model: Path or bytes.
        threads: Threads of the runtime; 0 lets it choose.
    """

    model: str | bytes
    threads: int


def why_not(work: Work, feeds: Mapping[str, npt.NDArray[np.generic]] | None) -> str:
    """Return why OpenVINO cannot read a network, or run it once; empty if it can.

    Args:
        work: The network.
        feeds: Its inputs; None only reads it.
    """
    given = pickle.dumps((work, None if feeds is None else dict(feeds)))
    command = [sys.executable, "-m", "spiq.runtime.probe"]
    try:
        ended = subprocess.run(
            command, input=given, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {_SECONDS} s"
    if ended.returncode < 0:
        return f"crashes on it ({signal.Signals(-ended.returncode).name})"
    said = ended.stderr.decode(errors="replace").strip().splitlines()
    return f"cannot run it: {said[-1] if said else 'it does not say why'}" * bool(ended.returncode)


def compiled(core: Any, graph: Any, sizes: Mapping[str, tuple[int, ...]], threads: int) -> Any:
    """Return a request to a network that OpenVINO compiled for these sizes."""
    graph.reshape({name: list(size) for name, size in sizes.items()})
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return core.compile_model(graph, "CPU", options).create_infer_request()


def _main() -> None:
    work, feeds = pickle.loads(sys.stdin.buffer.read())
    try:
        import openvino  # type: ignore[import-not-found, unused-ignore]

        core = openvino.Core()
        graph = core.read_model(work.model)
        if feeds is not None:
            sizes = {name: array.shape for name, array in feeds.items()}
            compiled(core, graph, sizes, work.threads).infer(feeds)
    except Exception as error:  # whatever it is, the parent says it
        sys.exit(" ".join(str(error).split()) or type(error).__name__)


if __name__ == "__main__":
    _main()
