"""Pieces of HTML; every text that comes from a file is escaped here."""

from collections.abc import Iterable
from html import escape


def text(anything: object) -> str:
    """Return text as it may stand in HTML, in attributes too."""
    return escape(str(anything), quote=True)


def name(of: str) -> str:
    """Return the name of a layer or a tensor."""
    return f'<span class="name">{text(of)}</span>'


def section(anchor: str, title: str, *parts: str, note: str = "") -> str:
    """Return a section with its heading."""
    said = f'<p class="note">{note}</p>' if note else ""
    inner = "\n".join((f'<h2 id="{anchor}">{text(title)}</h2>', said, *parts))
    return f'<section aria-labelledby="{anchor}">{inner}</section>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: int = 0) -> str:
    """Return a table, which becomes a list on a narrow page.

    Args:
        head: Heads of the columns, as HTML.
        rows: Cells, as HTML; the first of a row is its head.
        numbers: From which column on there are numbers; 0 for none.
    """
    titles = list(head)
    kinds = [' class="number"' if numbers and at >= numbers else "" for at in range(len(titles))]
    top = "".join(
        f'<th scope="col"{kind}>{title}</th>' for title, kind in zip(titles, kinds, strict=True)
    )
    body = "\n".join(f"<tr>{_cells(list(row), titles, kinds)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="stack"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(row: list[str], titles: list[str], kinds: list[str]) -> str:
    first, *rest = row
    cells = "".join(
        f'<td{kind} data-label="{title}:">{cell}</td>'
        for cell, title, kind in zip(rest, titles[1:], kinds[1:], strict=True)
    )
    return f'<th scope="row">{first}</th>{cells}'


def legend(entries: Iterable[tuple[str, str, bool]]) -> str:
    """Return a legend: colour, meaning, and whether it is a line."""
    items = "".join(
        f'<li><span class="swatch{" line" if line else ""}" style="--c:{colour}"></span>'
        f"{text(meaning)}</li>"
        for colour, meaning, line in entries
    )
    return f'<ul class="legend">{items}</ul>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values, the values as HTML."""
    inner = "".join(f"<div><dt>{text(key)}</dt><dd>{value}</dd></div>" for key, value in pairs)
    return f"<dl>{inner}</dl>"


def chart(anchor: str, label: str) -> str:
    """Return where a chart goes, and what it is called for those who do not see it."""
    return f'<div class="chart" id="{anchor}" role="group" aria-label="{text(label)}"></div>'


def size(count: int) -> str:
    """Return bytes in words."""
    return f"{_rounded(count)}B" if count >= 1000 else f"{count} bytes"


def number(count: int | None) -> str:
    """Return a count in words."""
    return "not known" if count is None else _rounded(count)


def _rounded(count: int) -> str:
    """Return a count with the unit that it has once it is rounded: 999960 is 1.0 M."""
    for unit, power in (("G", 9), ("M", 6), ("k", 3)):
        if count >= 0.99995 * 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return str(count)


def percent(share: float | None) -> str:
    """Return a share; a dash where there is none."""
    if share is None:
        return "–"  # noqa: RUF001
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def decibels(ratio: float | None) -> str:
    """Return a signal-to-noise ratio; a dash where there is none."""
    return "–" if ratio is None else f"{ratio:.1f} dB"  # noqa: RUF001


def milliseconds(ms: float | None) -> str:
    """Return a time; a dash where there is none."""
    return "–" if ms is None else f"{ms:.3g} ms"  # noqa: RUF001
