"""The table of speed: is a quantized network never slower than float, nor than other tools' one?

    spiq / float        latency over the float network's, with its 95 % interval; at most 1.00
    spiq / static       over that of onnxruntime's quantize_static, in the same rounds
    dynamic / spiq      the fair dynamic form (`spiq_dynamic`, see peers.py) over spiq's; above 2.5
    % of peak           of what the int8 kernel reaches at its best, in the same rounds

A goal that is missed is followed by a star. Below 1 is faster in the first two.

Usage: python bench/speed.py [NETWORK...] [--seconds 20] [--rounds 100] [--print]

measures as latency.py does, keeps bench/results/latency.json and prints the table; ``--print`` only
prints what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import common
import latency

STATIC = {"densenet121": 0.75, "efficientnet_b0": 0.90, "mobilenetv3_large": 0.80}
"""What is wanted of spiq / static, where that is not 1.00."""

PEAK = {"resnet50": 85, "densenet121": 62, "mobilenetv2": 45, "efficientnet_b0": 30}
"""What share of the kernel's best is wanted, in %."""

SURE, DYNAMIC = 1.03, 2.5


@dataclass(frozen=True)
class Speed:
    """A network's line of the table.

    Attributes:
        network: Its name.
        to_float: Ratio of latencies, and the ends of its interval.
        to_static: Ratio of latencies; None where quantize_static has no model.
        dynamic: Latency of the fair dynamic form over spiq's; likewise.
        peak: Share of the kernel's best in %; None where it was not measured.
    """

    network: str
    to_float: tuple[float, float, float]
    to_static: float | None
    dynamic: float | None
    peak: float | None

    @property
    def cells(self) -> list[str]:
        """What the table shows."""
        value, low, high = self.to_float
        sure = value <= 1 and high < SURE
        static, peak = STATIC.get(self.network, 1.0), PEAK.get(self.network, 0)
        return [
            self.network,
            f"{value:.2f} ({low:.2f} to {high:.2f}){'' if sure else ' *'}",
            _cell(self.to_static, ".2f", lambda x: x <= static),
            _cell(self.dynamic, ".1f", lambda x: x >= DYNAMIC),
            _cell(self.peak, ".0f", lambda x: x >= peak),
        ]


def _cell(value: float | None, form: str, is_met: Any) -> str:
    return "" if value is None else f"{value:{form}}{'' if is_met(value) else ' *'}"


def speed(network: str, entry: Mapping[str, Any]) -> Speed | None:
    """Return a network's line; None where spiq has no time."""
    rows = entry["rows"]
    if "times_as_fast" not in rows.get("spiq", {}):
        return None
    ours, faster = rows["spiq"]["median_ms"], rows["spiq"]["times_as_fast"]
    others = {name: rows.get(name, {}).get("median_ms") for name in ("ort_static", "spiq_dynamic")}
    share = rows["spiq"].get("share_of_peak")
    return Speed(
        network,
        (1 / faster["value"], 1 / faster["high"], 1 / faster["low"]),
        ours / others["ort_static"] if others["ort_static"] else None,
        others["spiq_dynamic"] / ours if others["spiq_dynamic"] else None,
        None if share is None else 100 * share,
    )


def speeds(results: Mapping[str, Any]) -> list[Speed]:
    """Return the lines of all networks that were measured."""
    lines = (speed(name, entry) for name, entry in sorted(results.items()))
    return [line for line in lines if line is not None]


def table(lines: list[Speed]) -> str:
    """Return the table as Markdown."""
    heads = ["network", "spiq / float", "spiq / static", "dynamic / spiq", "% of peak"]
    rows = [heads, ["---", *["--:"] * 4], *(line.cells for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = common.timed_parser(__doc__.splitlines()[0], seconds=20.0)
    parser.add_argument("--print", action="store_true", help="what is kept, and measure nothing")
    given = parser.parse_args()
    found = [] if given.print else common.select(common.everything(given.models), given.networks)
    for network in found:
        entry = latency.measure(network, given.models, seconds=given.seconds, rounds=given.rounds)
        common.record(common.here("latency"), network.name, entry)
        print(latency.line(network.name, entry), flush=True)
    print(table(speeds(common.load(common.here("latency")))))


if __name__ == "__main__":
    main()
