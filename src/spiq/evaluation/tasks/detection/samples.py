"""Images in the size of the network's input, with their labelled boxes, one at a time.

A point of the network's input, relative to it, is at ``point * scale + offset`` of the original
picture: exact scales both sides on their own, letterbox keeps the aspect and leaves borders.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from spiq.errors import CardError
from spiq.evaluation.cards.read import CHANNELS
from spiq.evaluation.cards.sections import Card
from spiq.evaluation.data import npz, pictures
from spiq.evaluation.data.datasets import Sample
from spiq.evaluation.tasks.detection import truth
from spiq.evaluation.tasks.detection.boxes import Pair
from spiq.evaluation.tasks.detection.labelled import SHARES, Truth
from spiq.io.images import DecodingError, open_picture, pillow
from spiq.value_checks import at_least


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """The labelled boxes of an image, and where a point of the network's input lies in it."""

    truth: Truth
    scale: Pair = (1.0, 1.0)
    offset: Pair = (0.0, 0.0)


def samples(
    card: Card, *, limit: int | None = None, begin: int = 0
) -> tuple[int, Iterator[Sample]]:
    """Return how many images there are, at most ``limit``, and those from ``begin`` on.

    Raises:
        CardError: The annotations are not as the card says. The iterator raises it where a stored
            part cannot be read, or where there are fewer images than annotations.
        ConfigError: ``limit`` is below 1, or there are image files and Pillow is not installed.
    """
    at_least(1, limit=limit)
    described = truth.read(card, limit=limit)
    if card.dataset.layout == "npz":
        npz.parts(card)
        return len(described), _stored(described, card, begin)
    if card.preprocess.resize == "shorter":
        raise CardError(
            f"{card.path}: [preprocess] resize = 'shorter' cuts objects off: for detection choose "
            "exact or letterbox"
        )
    pillow()
    return len(described), (_picture(entry, card) for entry in described[begin:])


def _stored(described: list[Truth], card: Card, begin: int) -> Iterator[Sample]:
    images = npz.samples(card, begin=begin)
    for index, entry in enumerate(described[begin:], begin):
        stored = next(images, None)
        if stored is None:
            raise CardError(
                f"{card.path}: {card.dataset.dir} holds {index} images, but the annotations are "
                f"of {len(described)}: a part is missing or n is wrong"
            )
        assert entry.size is not None  # truth.read refuses stored images without one
        width, height = entry.size
        placed = Placed(truth=entry, scale=(float(width), float(height)))
        yield Sample(name=entry.name, image=stored[1], label=placed)


def _picture(entry: Truth, card: Card) -> Sample:
    assert entry.picture is not None
    target, spec = card.input, card.preprocess
    try:
        color = len(CHANNELS[target.channels]) == 3
        picture = open_picture(entry.picture, "RGB" if color else "L")
        picture = pictures.turned(picture, None if entry.size in (None, SHARES) else entry.size)
    except DecodingError as error:
        return Sample(name=entry.name, image=None, label=None, problem=str(error))
    placement = pictures.place(picture.size, spec, target)
    size = (target.width, target.height)
    pixels = pictures.put(
        picture, placement, size, interpolation=spec.interpolation, fill=spec.pad_value
    )
    width, height = entry.size or picture.size
    across, down = width / placement.width, height / placement.height
    placed = Placed(
        truth=entry,
        scale=(target.width * across, target.height * down),
        offset=(-placement.left * across, -placement.top * down),
    )
    image = pixels.reshape(target.height, target.width, -1)
    return Sample(name=entry.name, image=image, label=placed)
