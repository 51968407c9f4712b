"""Whether the first layers were trained on an input such as the options say."""

from collections.abc import Mapping

from spiq.passes.prepare import Prepared
from spiq.stats.channel import ChannelStats
from spiq.stats.inputs.conventions import Convention
from spiq.stats.inputs.moments import infer_moments

_OTHER_INPUT = 0.9
"""Distance of the input's range from what the first layers were trained on: 0.02 to 0.34 for the
right ones of 25 networks, 1.2 and more for other usual ones."""

_UNLIKE = 4.0
"""Width of one channel's range over another's, from which on one mean tells nothing of both."""


def range_doubts(prepared: Prepared, given: Mapping[str, ChannelStats]) -> list[str]:
    """Return a sentence per input whose range is not what the first layers were trained on.

    Args:
        prepared: The network.
        given: The statistics that the user's options mean for inputs, by name.
    """
    doubts = []
    for value in prepared.model.graph.inputs:
        known = given.get(str(value.name))
        trained = infer_moments(value, prepared) if known is not None else None
        if known is None or trained is None or _has_ends_of_any_size(known):
            continue
        low, high = float(known.low.mean()), float(known.high.mean())
        taken = Convention("the range given", low, high)
        if taken.distance(*trained) > _OTHER_INPUT:
            doubts.append(
                f"input '{value.name}': the range given, {low:.4g} to {high:.4g}, means images of "
                f"mean {taken.mean:.3g} and std {taken.std:.3g}, but the first layers were trained "
                f"on mean {trained[0]:.3g} and std {trained[1]:.3g}: check --input-range or "
                "--input-mean and --input-std, or leave them out"
            )
    return doubts


def _has_ends_of_any_size(known: ChannelStats) -> bool:
    """Return whether channels are given ranges so unlike that one mean says nothing of all."""
    width = known.high - known.low
    return float(width.max()) > _UNLIKE * float(width.min())
