"""A sweep of methods and bit widths as a table for people: a line per cell, below its network's."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from spiq.cli.render import cells
from spiq.sweep.measures import SweepCell
from spiq.sweep.summary import SweepNetwork, SweepResult

_MARK = "* "
"""Stands in front of the number, so that numbers stay below each other."""


def render_sweep(result: SweepResult) -> RenderableType:
    """Show every cell, the best ones of each network and bit width marked."""
    parts: list[RenderableType] = []
    for network in result.networks:
        of_it = [cell for cell in result.cells if cell.network == network.name]
        parts += [Text(_float(network), style="bold"), _table(network, of_it)]
    return cells.page(*parts, *map(cells.note, _notes(result)))


def _float(network: SweepNetwork) -> str:
    """Say how the float network does."""
    if network.value is None:
        return network.name
    found = f"{network.name}: float {network.value.value:.2f} {network.metric}"
    took = network.milliseconds
    return found if took is None else f"{found}, {took:.2f} ms"


def _table(network: SweepNetwork, of_it: Sequence[SweepCell]) -> Table:
    table = cells.table("", network.metric, "diff.", "agree", "SNR dB", "ms", "speed", "s")
    width = max(len(cell.method) for cell in of_it)
    bits = ""
    for cell in of_it:
        first = "" if cell.bits == bits else cell.bits
        bits = cell.bits
        table.add_row(f"{first:4}  {cell.method:{width}}", *_figures(cell))
    return table


def _figures(cell: SweepCell) -> list[RenderableType]:
    score = cell.score
    if score is None:
        return [Text(cell.state, style="yellow" if cell.state == "refused" else "red")]
    ratio = cells.decibels(200.0 if score.worst_snr_db is None else score.worst_snr_db, unit="")
    latency = score.latency
    return [
        _marked(Text(f"{score.value.value:.2f}"), cell.best),
        f"{score.difference.value:+.2f}",
        f"{score.agreement:.1f}",
        _marked(ratio, cell.best_snr),
        f"{latency.milliseconds:.2f}" if latency is not None else cells.NOTHING,
        cells.speed(None if latency is None else latency.times_as_fast),
        f"{score.quantize_seconds:.1f}",
    ]


def _marked(text: Text, best: bool) -> Text:
    return Text.assemble(_MARK, text, style="bold") if best else text


def _notes(result: SweepResult) -> Iterator[str]:
    yield "*: the best of its network and bit width, as printed; all methods are data-free"
    yield "diff., agree %: from and with float; SNR: worst output; higher is better; s: to quantize"
    if any(cell.score is not None and cell.score.latency is not None for cell in result.cells):
        yield "ms: one image, one thread; speed: times as fast as float, above 1 is faster"
    known = len(result.cells) - result.measured
    yield (
        f"{len(result.cells)} cell{'s' if len(result.cells) > 1 else ''} in {result.seconds:.1f} s"
        + (f", {known} of them known before" if known else "")
        + (f"; the first {result.limit} images" if result.limit is not None else "")
    )
    yield from _reasons(result.cells)
    yield from result.notes


def _reasons(every: tuple[SweepCell, ...]) -> Iterator[str]:
    """Say why cells are empty, each reason once."""
    where: dict[tuple[str, str], list[str]] = {}
    for cell in every:
        if cell.score is None:
            name = f"{cell.network} {cell.method} {cell.bits}"
            where.setdefault((cell.state, cell.reason), []).append(name)
    for (state, reason), names in where.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{state}: {names[0]}{more}: {reason}"
