"""The Pareto front: what nothing else beats in both ways, less time and more accuracy."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Say which of (time, accuracy) no other beats: none as fast is better, none as good faster.

    >>> front([(1, 50), (2, 60), (3, 55), (2, 60)])
    [True, True, False, True]
    """
    return [
        not any(
            time <= own_time and value >= own and (time, value) != (own_time, own)
            for time, value in points
        )
        for own_time, own in points
    ]
