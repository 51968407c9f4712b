"""How long each kernel of a network takes, by the runtime's profiler."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spiq.runtime.opened import Tensors
from spiq.runtime.session import call, session
from spiq.runtime.timing import FEWEST, MOST, faster_half, timed


@dataclass(frozen=True)
class KernelTime:
    """What one kernel of the network, as the runtime optimized it, takes.

    Attributes:
        seconds: Of one call: the mean of the faster half.
        elements: Of its first output.
        operator: Its type there, such as QLinearConv.
    """

    seconds: float
    elements: int
    operator: str = ""


def kernel_times(network: bytes | str, feeds: Tensors, *, seconds: float) -> dict[str, KernelTime]:
    """Return what each kernel of a network takes, by its name in the optimized graph.

    Args:
        network: Path or bytes.
        feeds: Its inputs.
        seconds: For about so long it is run, at least 3 and at most 100 times.
    """
    return kernel_times_in_turn([network], feeds, seconds=seconds)[0]


def kernel_times_in_turn(
    networks: Sequence[bytes | str], feeds: Tensors, *, seconds: float
) -> list[dict[str, KernelTime]]:
    """Do what :func:`kernel_times` does with networks that take turns, and all of the time.

    One after the other, they would meet a machine that is more or less busy in the meantime.
    """
    with tempfile.TemporaryDirectory(prefix="spiq-") as folder:
        opened = [
            session(network, threads=1, profile=Path(folder) / f"profile{number}")
            for number, network in enumerate(networks)
        ]
        runs = [partial(call, one, None, feeds, where="the network") for one in opened]
        once = sum(timed(run, 1) for run in runs)
        for _ in range(int(np.clip(seconds / once, FEWEST, MOST))):
            for run in runs:
                run()
        return [_by_kernel(json.loads(Path(one.end_profiling()).read_bytes())) for one in opened]


def _by_kernel(events: Sequence[Mapping[str, Any]]) -> dict[str, KernelTime]:
    """Return what each kernel took, by the events of a profile."""
    found: dict[str, list[float]] = {}
    elements: dict[str, int] = {}
    operators: dict[str, str] = {}
    for event in events:
        name = event["name"].removesuffix(_KERNEL)
        if event.get("cat") == "Node" and name != event["name"]:
            found.setdefault(name, []).append(event["dur"] * 1e-6)
            elements[name] = _elements(event["args"].get("output_type_shape"))
            operators[name] = event["args"].get("op_name", "")
    return {
        name: KernelTime(float(faster_half(np.array(taken))), elements[name], operators[name])
        for name, taken in found.items()
    }


_KERNEL = "_kernel_time"
"""Ends the name of an event that is the run of a kernel."""


def _elements(shapes: Sequence[Mapping[str, Sequence[int]]] | None) -> int:
    first = next(iter((shapes or [{}])[0].values()), ())
    return int(np.prod(first)) if first else 0
