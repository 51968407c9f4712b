"""Table cells: numbers with their units, and names that are cut where they say least."""

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spiq.cli.output import plain
from spiq.evaluation.estimates import Estimate

NOTHING = "-"
POOR_DB, FAIR_DB = 10.0, 20.0
_LEAST = 12
_RULED = box.Box("    \n    \n ── \n    \n    \n    \n    \n    \n")
"""A line below the header."""

_BAR = 10
_BAR_DB = 40.0


def page(*parts: RenderableType) -> RenderableType:
    """Return parts below each other, with a margin."""
    return Padding(Group(*parts), (0, 1), expand=False)


def note(text: str) -> Text:
    """Return a line that explains a table."""
    return Text(flat(text), style="dim")


def flat(text: str) -> str:
    """Return text in one line: a break in it is a name's, which might feign a line of spiq's.

    What is not printed is written out here, before a table counts the characters of its lines.
    """
    return text if text.isprintable() else plain("\\n".join(text.splitlines()))


class Name:
    """A name that loses its beginning where it is too long: /features/0/conv -> …0/conv."""

    def __init__(self, name: str):
        self.name = flat(name)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        fits = len(self.name) <= width
        yield Text(self.name if fits else "…" + self.name[1 - width :], no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(len(self.name), _LEAST), len(self.name))


def table(*columns: str, left: int = 1) -> Table:
    """Return an empty table whose first column gives way where space is short.

    Columns from ``left`` on hold numbers, aligned to the right.
    """
    made = Table(box=_RULED, collapse_padding=True, pad_edge=False, header_style="bold")
    for index, title in enumerate(columns):
        justify = "left" if index < left else "right"
        made.add_column(title, justify=justify, no_wrap=index > 0, min_width=0 if index else _LEAST)  # type: ignore[arg-type]
    return made


def facts(*rows: tuple[str, object]) -> Table:
    """Return names and what they stand for, side by side."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)  # type: ignore[arg-type]
    return made


def count(number: int | None) -> str:
    """Return a count of operations or parameters: 1234567 -> 1.23 M."""
    if number is None:
        return NOTHING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)


def size(number: int) -> str:
    """Return a size in bytes: 542368 -> 542 kB."""
    return f"{count(number)}B" if number >= 1000 else f"{number} B"


def decibels(value: float | None, unit: str = " dB") -> Text:
    """Return a signal-to-noise ratio, coloured by how good it is."""
    if value is None or value != value:
        return Text(NOTHING)
    if value >= 200:
        return Text("exact", style="green")
    return Text(f"{value:.1f}{unit}", style=_quality(value))


def bar(value: float) -> Text:
    """Return a bar that is full at 40 dB."""
    filled = round(_BAR * min(max(value / _BAR_DB, 0.0), 1.0)) if value == value else 0
    return Text("█" * filled + "·" * (_BAR - filled), style=_quality(value))


def _quality(value: float) -> str:
    return "red" if value < POOR_DB else "yellow" if value < FAIR_DB else "green"


def interval(estimate: Estimate | None, value: str = ".2f", ends: str = ".1f") -> Text:
    """Return a value with its interval below it, in these formats."""
    if estimate is None:
        return Text(NOTHING)
    below = f"{estimate.low:{ends}} … {estimate.high:{ends}}"
    return Text.assemble(f"{estimate.value:{value}}\n", (below, "dim"))


def speed(times: Estimate | None) -> str:
    """Return how many times as fast a network is as the first one: 1.57 -> 1.57x."""
    return NOTHING if times is None else f"{times.value:.2f}x"
