"""What a gate found as a table for people."""

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from spiq.cli.render import cells

if TYPE_CHECKING:
    from spiq.gate.judge import GateResult


def render_gate(result: "GateResult") -> RenderableType:
    """Show each value beside the baseline's."""
    table = cells.table("", "baseline", "now", "better by", "may lose", "")
    for check in result.checks:
        mark = Text("pass", style="green") if check.passed else Text("worse", style="bold red")
        table.add_row(
            cells.Name(check.name),
            f"{check.baseline:g}",
            f"{check.now:g}",
            f"{check.gain:+.4g}",
            f"{check.may_lose:g}",
            mark,
        )
    verdict = "passed" if result.passed else "failed"
    return cells.page(
        table,
        cells.note(f"gate {verdict}: {result.network}, {result.images} images of {result.card}"),
        cells.note("better by: above 0 is better than the baseline, whichever way that is"),
    )
