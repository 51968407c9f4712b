"""Draw what speed.py measured: latencies over the float network's, a row per network.

Usage: python bench/speed_plot.py [OUT.svg]      (docs/speed.svg; needs the extra `spiq[report]`)
"""

from __future__ import annotations

import sys
from typing import Any

import altair

import common

ROWS = {"spiq": "spiq", "ort_static": "quantize_static", "spiq_dynamic": "dynamic (fair)"}
OUT = common.ROOT / "docs" / "speed.svg"
_STEP, _WIDTH = 22, 420


def points(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a point for each network and tool: its latency over float's, and its interval."""
    found = []
    for network, entry in sorted(results.items()):
        for row, name in ROWS.items():
            faster = entry["rows"].get(row, {}).get("times_as_fast")
            if faster is not None:
                found.append(
                    {
                        "network": network,
                        "tool": name,
                        "ratio": 1 / faster["value"],
                        "low": 1 / faster["high"],
                        "high": 1 / faster["low"],
                    }
                )
    return found


def chart(found: list[dict[str, Any]]) -> altair.LayerChart:
    """Return the picture: left of the line is faster than float."""
    scale = altair.Scale(type="log", nice=False)
    base = altair.Chart(altair.Data(values=found)).encode(
        y=altair.Y("network:N", title=None, sort="x"),
        color=altair.Color("tool:N", title=None, sort=list(ROWS.values())),
    )
    dots = base.mark_point(filled=True, size=60).encode(
        x=altair.X("ratio:Q", title="latency over float's (below 1 is faster)", scale=scale)
    )
    spans = base.mark_rule().encode(x=altair.X("low:Q", scale=scale), x2="high:Q")
    line = altair.Chart(altair.Data(values=[{"one": 1}])).mark_rule(strokeDash=[4, 4])
    return (line.encode(x="one:Q") + spans + dots).properties(
        width=_WIDTH, height=altair.Step(_STEP)
    )


def main() -> None:
    out = sys.argv[1] if len(sys.argv) > 1 else str(OUT)
    chart(points(common.load("latency"))).save(out)
    print(out)


if __name__ == "__main__":
    main()
