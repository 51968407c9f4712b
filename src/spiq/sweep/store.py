"""The results of a sweep: one JSON file per cell, written whole or not at all.

PLACE/resnet8-cifar10/spiq.W4A8.0123456789ab.json      network, method, bits, start of the key
PLACE/resnet8-cifar10/....onnx                         quantized, until its latency is known

A folder for each network: writing into one of 30,000 files takes 10 ms, since what killed
processes may have left there is looked for.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from spiq.evaluation.estimates import Estimate
from spiq.sweep.cells import Cell
from spiq.sweep.measures import SweepCell, SweepLatency, SweepScore
from spiq.sweep.places import Place


@dataclass(frozen=True)
class Store:
    """What is known of cells, at a place."""

    place: Place

    def load(self, cells: Iterable[Cell]) -> dict[Cell, SweepCell]:
        """Return what is known, but for what is stale or cannot be read."""
        names = {_name(cell): cell for cell in cells}
        stored = self.place.read(names)
        found = {names[name]: _known(names[name], text) for name, text in stored.items()}
        return {cell: result for cell, result in found.items() if result is not None}

    def save(self, cell: Cell, result: SweepCell) -> None:
        """Remember a cell's result.

        Raises:
            OutputError: It cannot be written; what was there before is unchanged.
        """
        plain = replace(result, best=False, best_snr=False)
        text = json.dumps({"key": cell.key} | asdict(plain), indent=2)
        self.place.write(_name(cell), f"{text}\n".encode())

    def keep_model(self, cell: Cell, model: bytes) -> None:
        """Keep a quantized network until its latency is measured."""
        self.place.write(_model_name(cell), model)

    def model(self, cell: Cell) -> bytes | None:
        """Return the quantized network of a cell, where it was kept."""
        name = _model_name(cell)
        return self.place.read([name]).get(name)

    def drop_model(self, cell: Cell) -> None:
        """Forget the quantized network of a cell."""
        self.place.remove(_model_name(cell))


def _name(cell: Cell) -> str:
    network = re.sub(r"[^\w.-]+", "_", cell.subject.name)
    return f"{network}/{cell.method}.{cell.bits}.{cell.key[:12]}.json"


def _model_name(cell: Cell) -> str:
    return _name(cell).removesuffix(".json") + ".onnx"


def _known(cell: Cell, text: bytes) -> SweepCell | None:
    try:
        stored = json.loads(text)
        return _cell(stored) if stored["key"] == cell.key else None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


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
