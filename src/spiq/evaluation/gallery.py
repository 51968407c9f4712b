"""A page of pictures: one HTML file beside them, without scripts and requests."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from spiq.evaluation.cards.read import Card
from spiq.evaluation.drawing import KINDS
from spiq.evaluation.panels import labelled

_MOST = 24
"""Classes of a matrix; of more, the pairs that are confused most are listed."""

_PAIRS = 20

Answered = Sequence[tuple[int, tuple[int, ...]]]
"""The label of each image, and the class that each network answers."""

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 100rem; margin: 0 auto; padding: 1rem }
img { max-width: 100%; height: auto; background: #fff }
figure { margin: 1.5rem 0 } .wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem } th { font-weight: normal; text-align: right }
td { text-align: right; padding: .1rem .4rem; border: 1px solid #8884 }
.right { background: #2a24 } .wrong { background: #c224 }
"""


def page(card: Card, titles: Sequence[str], pictures: Sequence[Path], answered: Answered) -> str:
    """The page of ``pictures``, which lie beside it.

    Args:
        card: The card.
        titles: What each network is called.
        pictures: The files, the image that differs most first.
        answered: Of a classification, what is answered to each image.
    """
    parts = [
        "<!doctype html>", '<html lang="en">', '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(card.name)}</title>", f"<style>{_STYLE}</style>",
        f"<h1>{escape(card.name)}</h1>", f"<p>{_said(card, titles)}</p>",
    ]  # fmt: skip
    if answered:
        known, first = labelled(card), "Labels" if labelled(card) else "Answers of the first"
        parts += _flipped(titles, answered, known=known)
        for number, title in list(enumerate(titles))[0 if known else 1 :]:
            found = Counter((label, answers[number]) for label, answers in answered)
            parts += [f"<h2>{first} and answers: {escape(title)}</h2>", _confusion(found, card)]
    parts.append("<h2>Images that differ most</h2>")
    for path in pictures:
        name = escape(path.name)
        parts.append(
            f'<figure><a href="{name}"><img src="{name}" alt="{escape(path.stem)}" loading="lazy">'
            f"</a><figcaption>{escape(path.stem)}</figcaption></figure>"
        )
    return "\n".join(parts) + "\n"


def _said(card: Card, titles: Sequence[str]) -> str:
    networks = ", ".join(map(escape, titles))
    signs = ", ".join(f"{kind} {sign}".strip() for kind, (_, sign) in KINDS.items())
    kinds = f"; boxes: {signs}" if card.task == "detection" else ""
    return f"{networks}; the others beside the first{kinds}."


def _flipped(titles: Sequence[str], answered: Answered, *, known: bool) -> list[str]:
    """How often another answer is given than by the first, for better or worse where known."""
    rows = []
    for number, title in enumerate(titles[1:], start=1):
        other = [(label, a[0], a[number]) for label, a in answered if a[0] != a[number]]
        lost = sum(label == first for label, first, _ in other)
        won = sum(label == own for label, _, own in other)
        wrong = len(other) - lost - won
        judged = (
            f": {lost} right before, {won} right now, {wrong} wrong both times" if known else ""
        )
        rows.append(
            f"<p>{escape(title)}: {len(other)} of {len(answered)} answers are others than the "
            f"first network's{judged}.</p>"
        )
    return rows


def _confusion(found: Counter[tuple[int, int]], card: Card) -> str:
    """A matrix of labels (rows) and answers (columns), or the pairs that are confused most."""
    classes = sorted({label for label, _ in found} | {answer for _, answer in found})
    if len(classes) > _MOST:
        pairs = [pair for pair in found.most_common() if pair[0][0] != pair[0][1]][:_PAIRS]
        rows = [
            f"<tr><td>{count}</td><td>{escape(card.class_name(label))}</td>"
            f"<td>{escape(card.class_name(answer))}</td></tr>"
            for (label, answer), count in pairs
        ]
        first = "label" if labelled(card) else "first"
        head = f"<tr><th>images</th><th>{first}</th><th>answer</th></tr>"
        return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'

    names = [escape(card.class_name(k)) for k in classes]
    corner = "label" if labelled(card) else "first"
    head = (
        f"<tr><th>{corner} \\ answer</th>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    )
    rows = [
        f"<tr><th>{name}</th>" + "".join(_cell(found, label, other) for other in classes) + "</tr>"
        for label, name in zip(classes, names, strict=True)
    ]
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _cell(found: Counter[tuple[int, int]], label: int, answer: int) -> str:
    count = found[(label, answer)]
    kind = "" if not count else ' class="right"' if label == answer else ' class="wrong"'
    return f"<td{kind}>{count or ''}</td>"
