"""Cards of data sets of image files, which are in data/ beside the card."""

from pathlib import Path

from spiq.evaluation.cards.read import Card, read

_CARD = """
name = "tiny"
task = "{task}"
[dataset]
dir = "data"
layout = "{layout}"
{dataset}
[input]
width = {width}
height = {height}
{input}
[preprocess]
resize = "{resize}"
{preprocess}
[decode]
{decode}
"""


def image_card(
    folder: Path,
    layout: str,
    task: str = "classification",
    *,
    size: tuple[int, int] = (4, 2),
    resize: str = "exact",
    **sections: str,
) -> Card:
    """Write a card and read it; sections hold more of their keys, as TOML."""
    path, (width, height) = folder / "card.toml", size
    given = dict.fromkeys(("dataset", "input", "preprocess", "decode"), "") | sections
    path.write_text(
        _CARD.format(task=task, layout=layout, width=width, height=height, resize=resize, **given)
    )
    return read(path)
