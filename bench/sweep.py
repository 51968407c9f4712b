"""Accuracy of every data-free method at several bit widths: `spiq sweep` on the zoo.

Usage: python bench/sweep.py [NETWORK...] [--bits W8A8,W4A4] [--methods spiq,static] [--limit N]
           [--jobs N] [--force]

Cells are kept in the folder of models, and measured again where the network, its card or the code
of spiq has changed; results go to bench/results/sweep.json. Latency has a benchmark of its own.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import common
from spiq.sweep import cells
from spiq.sweep.measures import SweepCell
from spiq.sweep.run import SweepProgress, run
from spiq.sweep.summary import SweepNetwork, SweepResult

BITS = "W8A8,W6A6,W4A8,W4A4"

DIGITS = 4
"""More than any table prints, so that rounding twice makes no difference."""


def entry(network: SweepNetwork, result: SweepResult) -> dict[str, Any]:
    """What the results hold of a network: a row per bit width, with an entry per method."""
    rows: dict[str, dict[str, Any]] = {bits: {} for bits in result.bits}
    for cell in result.cells:
        if cell.network == network.name:
            rows[cell.bits][cell.method] = figures(cell)
    return {
        "task": network.task,
        "metric": network.metric,
        "images": network.images,
        "float": None if network.value is None else _rounded(asdict(network.value)),
        "methods": result.methods,
        "bits": result.bits,
        "rows": rows,
        "limit": result.limit,
        "stamp": common.stamp(),
    }


def figures(cell: SweepCell) -> dict[str, Any]:
    """What the results hold of a cell."""
    score = cell.score
    if score is None:
        return {"error": cell.reason}
    return _rounded(asdict(score.value)) | {
        "difference": _rounded(asdict(score.difference)),
        "agreement": round(score.agreement, 2),
        "snr_db": _rounded(score.snr_db),
        "worst_snr_db": _rounded({"": score.worst_snr_db})[""],
        "seconds": round(score.quantize_seconds, 2),
        "bytes": score.bytes,
    }


def _rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if x is None else round(x, DIGITS) for name, x in values.items()}


def line(cell: SweepCell) -> str:
    """A line of text for a cell."""
    if cell.score is None:
        return f"{cell.network:24} {cell.bits:5} {cell.method:12} {cell.state}: {cell.reason}"
    ratio = "exact" if cell.score.worst_snr_db is None else f"{cell.score.worst_snr_db:.1f} dB"
    mark = "*" if cell.best else ""
    shown = f"{cell.score.value.value:6.2f}{mark:1} {cell.score.difference.value:+7.2f} {ratio:>8}"
    return f"{cell.network:24} {cell.bits:5} {cell.method:12} {shown}"


def main() -> None:
    parser = common.parser("Measure every method at several bit widths.")
    parser.add_argument("--bits", default=BITS, help=f"default: {BITS}")
    parser.add_argument("--methods", metavar="NAME,...", help="default: all")
    parser.add_argument("--limit", type=int, metavar="N", help="only that many images")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; default: one per CPU")
    parser.add_argument("--force", action="store_true", help="measure known cells again, too")
    arguments = parser.parse_args()
    names = cells.methods(arguments.methods)
    networks = common.select(common.zoo(), arguments.networks)
    paths = [f"{network.card.path}={network.path}" for network in networks if network.card]
    told = -1

    def tell(now: SweepProgress) -> None:
        nonlocal told
        if now.done != told:
            told = now.done
            print(f"{now.done} of {now.total} cells", flush=True)

    result = run(
        cells.subjects(paths, limit=arguments.limit),
        names,
        cells.bits(arguments.bits, names),
        folder=arguments.models / "sweep",
        jobs=arguments.jobs,
        latency=False,
        force=arguments.force,
        progress=tell,
    )
    for network in result.networks:
        common.record("sweep", network.name, entry(network, result))
    print(*map(line, result.cells), *result.notes, sep="\n", flush=True)


if __name__ == "__main__":
    main()
