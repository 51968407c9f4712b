"""The check of a card as text for people."""

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from spiq.cli.render import cells

if TYPE_CHECKING:
    from spiq.evaluation.check import CheckResult


def checked(result: "CheckResult") -> RenderableType:
    """Show what the check of a card found, step by step."""
    rows = [
        (finding.step, Text(finding.text, style="" if finding.ok else "red"))
        for finding in result.findings
    ]
    verdict = Text("fine", style="green") if result.ok else Text("wrong", style="red")
    return Padding(cells.facts(*rows, ("", verdict)), (0, 1), expand=False)
