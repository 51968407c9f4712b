"""The results of a sweep in a folder: one JSON file per cell, written whole or not at all.

FOLDER/resnet8-cifar10.spiq.W4A8.0123456789ab.json      network, method, bits, start of the key
FOLDER/models/....onnx                                  quantized, until its latency is known
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spiq.errors import OutputError
from spiq.evaluation.estimates import Estimate
from spiq.io.write import write
from spiq.sweep.cells import Cell
from spiq.sweep.measures import SweepCell, SweepLatency, SweepScore

_MODELS = "models"


def prepare(folder: Path) -> Path:
    """Create the folder; return its absolute path.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        (folder / _MODELS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{str(folder)!r} cannot be a folder of results: {error.strerror}: choose another one"
        ) from error
    return folder.resolve()


def load(folder: Path, cell: Cell) -> SweepCell | None:
    """Return what is known of a cell; None where nothing is, or where it is stale."""
    try:
        stored = json.loads(_path(folder, cell).read_text())
        return _cell(stored) if stored["key"] == cell.key else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def save(folder: Path, cell: Cell, result: SweepCell) -> None:
    """Remember a cell's result.

    Raises:
        OutputError: It cannot be written; what was there before is unchanged.
    """
    plain = replace(result, best=False, best_snr=False)
    text = json.dumps({"key": cell.key} | asdict(plain), indent=2)
    write(f"{text}\n".encode(), _path(folder, cell))


def model_path(folder: Path, cell: Cell) -> Path:
    """Return where the quantized network of a cell waits for its latency to be measured."""
    return folder / _MODELS / _path(folder, cell).with_suffix(".onnx").name


def tidy(folder: Path) -> None:
    """Remove the folder of quantized networks if none waits."""
    with suppress(OSError):
        (folder / _MODELS).rmdir()


def _path(folder: Path, cell: Cell) -> Path:
    network = re.sub(r"[^\w.-]+", "_", cell.subject.name)
    return folder / f"{network}.{cell.method}.{cell.bits}.{cell.key[:12]}.json"


def _cell(stored: dict[str, Any]) -> SweepCell:
    fields = {name: value for name, value in stored.items() if name not in ("key", "score")}
    score = stored["score"]
    return SweepCell(**fields, score=None if score is None else _score(score))


def _score(stored: dict[str, Any]) -> SweepScore:
    estimates = ("value", "float_value", "difference")
    latency = stored["latency"]
    return SweepScore(
        **stored
        | {name: Estimate(**stored[name]) for name in estimates}
        | {"latency": None if latency is None else _latency(latency)}
    )


def _latency(stored: dict[str, Any]) -> SweepLatency:
    return SweepLatency(**stored | {"times_as_fast": Estimate(**stored["times_as_fast"])})
