"""What is said of an input: the range assumed for it, on what grounds, and what mends it."""

from collections.abc import Iterator, Sequence
from math import exp

from spiq.errors import WARNING
from spiq.stats.channel import Array
from spiq.stats.inputs.conventions import Fourth
from spiq.stats.inputs.evidence import Verdict

HINT = "give --input-range or --input-mean and --input-std"


def about(name: str, note: str) -> str:
    """Name the input that a note is on, behind the word that marks a warning."""
    return f"{WARNING * note.startswith(WARNING)}input '{name}': {note.removeprefix(WARNING)}"


def said_of(verdict: Verdict) -> Iterator[str]:
    """Say what is assumed, on what grounds, and against what odds."""
    mean, std = verdict.stated or (None, None)
    other, odds = verdict.runner_up
    doubtful = WARNING if verdict.rivals else ""
    yield f"{doubtful}assumed {verdict.best.name},"
    if mean is not None and std is not None:
        yield f"since its first layers were trained on mean {mean:.3g} and std {std:.3g}"
    else:
        yield f"by {' and '.join(verdict.grounds) or 'nothing but habit'}"
    yield f"({_odds(odds)} to 1 over {other.name});"
    if verdict.rivals:
        low, high = verdict.ends
        yield f"the range taken is {low:.4g} to {high:.4g}: {HINT}, a wrong range costs accuracy"
    else:
        yield f"{HINT} if that is wrong"


def _odds(odds: float) -> str:
    return "over 1000" if odds > 1000 else f"{odds:.2g}" if odds < 10 else f"{odds:.0f}"


def trained_on(low: Array, high: Array, mean: float, std: float) -> str:
    """Say what range is assumed where the first layers state moments of no convention."""
    if len(low) > 1:
        return f"range {span(low, high)} assumed, from what its first layers state of each channel"
    return (
        f"range {span(low, high)} assumed, from the mean {mean:.3g} and std {std:.3g} that its "
        "first layers were trained on"
    )


def by_biases(low: Array, high: Array, spread: float) -> str:
    """Say what range is assumed where only the first layer's biases tell of it."""
    return (
        f"{WARNING}range {span(low, high)} assumed, by the first layer's biases and weights, right "
        f"to a factor of about {exp(spread):.1f}, and the SNR is that on such numbers: {HINT}, a "
        "wrong range costs accuracy"
    )


def of_fourth(fourth: Fourth | None) -> str:
    """Say what became of the fourth channel of pictures, which is opacity, or depth."""
    if fourth is None:
        return "its 4 channels were taken for alike"
    low, high = fourth.ends
    return f"its last channel was taken for numbers from {low:.4g} to {high:.4g}, by the same"


def nothing_tells(low: Array, high: Array) -> str:
    """Say what range is assumed where nothing tells of it."""
    return (
        f"{WARNING}no picture by its shape, and nothing tells its range: numbers of mean 0 and "
        f"deviation 1 assumed, from {span(low, high)}, and the SNR is that on such numbers: give "
        "--input-range"
    )


def of_graph(name: str) -> str:
    """Say what is assumed of an input that says which rows are summed up."""
    return (
        f"{WARNING}input '{name}' multiplies rows from the left: taken for a graph's normalized "
        "adjacency, rows of few neighbours that sum to 1; if they sum to more, accuracy is lost"
    )


def of_unread(names: Sequence[str]) -> str:
    """Say what is assumed of inputs that no layer reads, so that nothing tells of them."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"{WARNING}input '{names[0]}'{more}: no layer reads it as it is, and nothing tells its "
        f"range: numbers around 0, of about 1, assumed, and the SNR is that on such: give "
        f"--input-range {names[0]}=LOW,HIGH"
    )


def span(low: Array, high: Array) -> str:
    """Return the ends of a range, over all channels."""
    return f"{low.min():.4g} to {high.max():.4g}"
