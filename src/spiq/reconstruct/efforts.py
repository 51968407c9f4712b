"""How much is made and learned, by how long it may take."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Numbers of pictures and steps.

    Attributes:
        pictures: Pictures that are made.
        held: Of these, how many are kept from learning, to see whether a block got better.
        moves: How often each picture is moved.
        steps: Steps of learning per block.
        batch: Pictures that a step of learning sees.
    """

    pictures: int
    held: int
    moves: int
    steps: int
    batch: int = 32


EFFORTS = {
    "minutes": Effort(pictures=256, held=32, moves=60, steps=800),
    "hours": Effort(pictures=1024, held=128, moves=200, steps=2000),
}
