"""What was quantized, the layers of a network, and where a quantized one leaves it."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from spiq.analysis import WARNING
from spiq.cli.render import cells

if TYPE_CHECKING:
    from spiq.inspection.compare import CompareResult
    from spiq.inspection.inspect import InspectResult
    from spiq.inspection.layers import LayerResult
    from spiq.quantized import QuantizeResult
    from spiq.speed import ParetoResult

_WORST = 5
"""Layers that are named for their error."""

_LISTED = 8
"""Names of one kind that are listed; the rest is counted. JSON has all."""

_SOURCES = {"propagated": "prop."}


def render_quantized(
    result: "QuantizeResult", *, model: str, output: str, plan: str | None = None
) -> RenderableType:
    """Show what :func:`spiq.quantize` did, or :func:`spiq.apply` by a plan."""
    done, total = result.quantized_layers, len(result.layers)
    snr = Text("\n").join(
        [
            *(
                Text.assemble(*_ratio(result, name), f"  {cells.flat(name)}")
                for name in result.snr_db
            ),
            *(Text(cells.flat(f"{cells.NOTHING}  {n}: {why}")) for n, why in result.no_snr.items()),
        ]
    )
    before, after = result.bytes_before, result.bytes_after
    return cells.page(
        cells.facts(
            ("model", model),
            *([("plan", plan)] if plan is not None else []),
            ("written", output),
            ("method", f"{result.method}, {_bits(result)}, for {result.target}"),
            ("layers", Text.assemble((f"{done} of {total}", "bold"), " quantized")),
            *_left_in_float(result.float_layers),
            ("size", f"{cells.size(before)} → {cells.size(after)}, {_times(before, after)}"),
            *_packed(result),
            ("time", f"{result.seconds:.2f} s"),
            *_latency(result),
            *([("SNR", snr)] if snr else []),
        ),
        *_notes(result.notes),
    )


def warnings(result: "QuantizeResult | InspectResult") -> list[str]:
    """Return the notes that are warnings, one line each; tables leave them to stderr."""
    return [note.removeprefix(WARNING) for note in result.notes if note.startswith(WARNING)]


def _ratio(result: "QuantizeResult", name: str) -> list[Text | tuple[str, str]]:
    """Return an output's ratio, and what it may be."""
    low, high = result.snr_interval_db[name]
    exact = low == high
    return [
        cells.decibels(result.snr_db[name]),
        ("" if exact else f" ({low:.0f} to {high:.0f})", "dim"),
    ]


def render_inspected(result: "InspectResult") -> RenderableType:
    """Show the layers of a network before it is quantized."""
    table = cells.table(
        "layer", "operator", "channels", "stats", "spread", "MACs", "error", "as", left=2
    )
    shares = result.error_shares
    for layer in result.layers:
        table.add_row(
            cells.Name(layer.name),
            layer.operator,
            f"{layer.in_channels}→{layer.out_channels}",
            _SOURCES.get(layer.statistics, layer.statistics),
            f"{layer.spread:.1f}" if layer.spread is not None else cells.NOTHING,
            cells.count(layer.macs),
            _percent(shares.get(layer.name)),
            Text("int", style="green") if layer.quantized else Text("float", style="yellow"),
        )
    total, floats = len(result.layers), [x for x in result.layers if not x.quantized]
    macs = [layer.macs for layer in result.layers if layer.macs is not None]
    unknown = Text("\n").join(_listed(result.unknown_operators))
    return cells.page(
        table,
        cells.facts(
            ("layers", f"{total - len(floats)} of {total} can be quantized"),
            *_left_in_float(floats),
            *([("no rule", unknown)] if result.unknown_operators else []),
            *_most_error(shares),
            ("parameters", cells.count(sum(layer.parameters for layer in result.layers))),
            ("MACs", _more(len(macs) < total) + cells.count(sum(macs)) if macs else cells.NOTHING),
        ),
        Text(
            "stats of the layer's input: stated by a normalization, observed on synthetic images, "
            "propagated, or assumed of the network's input; spread: its widest channel over the "
            "median one; error: the layer's share of what quantization is expected to lose; of "
            "both, less is better",
            style="dim",
        ),
        *_notes(result.notes),
    )


def _percent(share: float | None) -> str:
    return cells.NOTHING if share is None else f"{100 * share:.1f} %"


def _most_error(shares: dict[str, float]) -> list[tuple[str, object]]:
    """Return a row that names the layers of which most error is expected."""
    worst = sorted(shares, key=lambda name: -shares[name])[:_WORST]
    lines = [Text(f"{_percent(shares[name]):>6}  {cells.flat(name)}") for name in worst]
    return [("most error", Text("\n").join(lines))] if lines else []


def render_compared(result: "CompareResult") -> RenderableType:
    """Show where a quantized network leaves the float one."""
    table = cells.table("behind", "operator", "", "SNR", "cosine", left=2)
    for tensor in result.tensors:
        operator, _, node = tensor.producer.partition(" ")
        table.add_row(
            cells.Name(node.strip("'")),
            operator,
            cells.bar(tensor.snr_db),
            cells.decibels(tensor.snr_db),
            f"{tensor.cosine:.5f}",
        )
    lowest = sorted(result.tensors, key=lambda tensor: tensor.snr_db)[:3]
    worst = [Text.assemble(cells.decibels(t.snr_db), f"  {t.name}") for t in lowest]
    unmatched = Text("\n").join(_listed(result.unmatched))
    return cells.page(
        table,
        cells.facts(
            ("float", result.reference),
            ("quantized", result.other),
            ("lowest", Text("\n").join(worst)),
            *([("not found", unmatched)] if result.unmatched else []),
        ),
        Text("SNR and cosine: with the float network's tensors; higher is better", style="dim"),
    )


def _bits(result: "QuantizeResult") -> str:
    if not result.bits_per_weight:  # products of tensors alone
        return f"A{result.activation_bits}"
    same = result.bits_per_weight == result.weight_bits
    weights = str(result.weight_bits) if same else f"{result.bits_per_weight:.2f}"
    return f"W{weights}A{result.activation_bits}"


def _packed(result: "QuantizeResult") -> list[tuple[str, object]]:
    """Say how small the weights could be stored, where they have fewer bits than the file's 8."""
    bits = [layer.bits for layer in result.layers if layer.bits is not None]
    if not bits or min(bits) >= 7:
        return []
    spread = f"{min(bits)} to {max(bits)}" if min(bits) < max(bits) else str(min(bits))
    return [("packed", f"{cells.size(result.packed_bytes)} at {spread} bits; the file stores 8")]


def render_pareto(result: "ParetoResult") -> RenderableType:
    """Show what accuracy costs in time."""
    table = cells.table("", "ms", "of float's", "error", "gain", "layers in float", left=1)
    rows = [("all on integers", result.on_integers)]
    rows += [(PREFERRED.get(point.slack, f"{point.slack:+.0%}"), point) for point in result.points]
    for name, point in rows:
        table.add_row(
            name,
            f"{point.ms:.3g}",
            f"{point.ms / result.float_ms:.2f}",
            f"{100 * point.error:.1f} %",
            f"{10 * math.log10(1 / min(max(point.error, 1e-6), 1)):.1f} dB",
            str(len(point.in_float)),
        )
    return cells.page(
        table,
        Text(
            "ms: kernels and conversions, one thread, less is better; error: of what is expected "
            "to be lost with all on integers, less is better; --prefer takes a row by name; "
            "+20% may take a fifth longer than the fastest",
            style="dim",
        ),
    )


PREFERRED = {0.0: "speed", 0.03: "balanced", 0.3: "accuracy"}


def _latency(result: "QuantizeResult") -> list[tuple[str, object]]:
    """Say how long one call takes, and how long in float."""
    found = result.latency
    if found is None:
        return []
    style = "green" if found.ratio < 1 else "yellow"
    return [
        (
            "latency",
            Text.assemble(
                f"{found.int8_ms:.3g} ms, ",
                (f"{found.ratio:.2f} of float's", style),
                (f" ({found.low:.2f} to {found.high:.2f}; one thread, here)", "dim"),
            ),
        )
    ]


def _times(before: int, after: int) -> str:
    return f"{before / after:.1f} times smaller" if before >= after else "larger"


def _left_in_float(layers: Iterable["LayerResult"]) -> list[tuple[str, object]]:
    """Return a row per reason: how many layers stay in float for it, and which."""
    reasons: dict[str, list[str]] = {}
    for layer in layers:
        reasons.setdefault(layer.reason, []).append(layer.name)
    rows: list[tuple[str, object]] = []
    for reason, names in reasons.items():
        head = Text(f"{len(names)} left in float: {reason}", style="yellow")
        rows.append(("", Text("\n").join([head, *_listed(names, indent="  ")])))
    return rows


def _listed(names: Iterable[str], *, indent: str = "") -> list[Text]:
    every = list(names)
    lines = [Text(indent + cells.flat(name)) for name in every[:_LISTED]]
    if len(every) > _LISTED:
        lines.append(Text(f"{indent}and {len(every) - _LISTED} more", style="dim"))
    return lines


def _notes(notes: Iterable[str]) -> list[Text]:
    return [cells.note(f"note: {n}") for n in notes if not n.startswith(WARNING)]


def _more(incomplete: bool) -> str:
    """Return what stands before a sum of which parts are not known."""
    return "more than " if incomplete else ""
