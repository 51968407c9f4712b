"""A sweep of methods and bit widths as CSV: a line per cell, what there is none of left empty."""

import csv
import io
import math

from spiq.sweep.measures import SweepCell, SweepScore
from spiq.sweep.summary import SweepNetwork, SweepResult

COLUMNS = (
    *("network", "task", "metric", "images", "method", "weight_bits", "activation_bits"),
    *("state", "reason", "value", "value_low", "value_high", "float_value"),
    *("difference", "difference_low", "difference_high", "agreement", "worst_snr_db"),
    *("milliseconds", "float_milliseconds"),
    *("times_as_fast", "times_as_fast_low", "times_as_fast_high"),
    *("quantize_seconds", "bytes", "best", "best_snr"),
)


def render_csv(result: SweepResult) -> str:
    """Return a sweep as CSV text; ``worst_snr_db`` is ``inf`` for outputs equal bit by bit."""
    networks = {network.name: network for network in result.networks}
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(cell, networks[cell.network]) for cell in result.cells)
    return stream.getvalue()


def _row(cell: SweepCell, network: SweepNetwork) -> dict[str, object]:
    row: dict[str, object] = {
        "task": network.task,
        "metric": network.metric,
        "best": int(cell.best),
        "best_snr": int(cell.best_snr),
    }
    names = ("network", "method", "weight_bits", "activation_bits", "state", "reason")
    row |= {name: getattr(cell, name) for name in names}
    if cell.score is None:
        return row
    return row | _figures(cell.score)


def _figures(score: SweepScore) -> dict[str, object]:
    row: dict[str, object] = {"images": score.images, "bytes": score.bytes}
    row["quantize_seconds"] = f"{score.quantize_seconds:.3f}"
    row["float_value"] = f"{score.float_value.value:.4f}"
    row["agreement"] = f"{score.agreement:.4f}"
    ratio = math.inf if score.worst_snr_db is None else score.worst_snr_db
    row["worst_snr_db"] = f"{ratio:.2f}"
    estimates = {"value": score.value, "difference": score.difference}
    if score.latency is not None:
        row["milliseconds"] = f"{score.latency.milliseconds:.4f}"
        row["float_milliseconds"] = f"{score.latency.float_milliseconds:.4f}"
        estimates["times_as_fast"] = score.latency.times_as_fast
    for name, estimate in estimates.items():
        row[name] = f"{estimate.value:.4f}"
        row[f"{name}_low"], row[f"{name}_high"] = f"{estimate.low:.4f}", f"{estimate.high:.4f}"
    return row
