"""Never slower than float: the result is timed, and regions that are faster in float go back.

Whether integers are faster depends on the network and on the CPU at hand, so both networks are
timed beside each other, and kernel by kernel. What would be faster in float, or little slower and
much more exact, is worked out (:mod:`spiq.planning.choose.give_back`), and the network is quantized
again so. What comes out is timed, too, and taken unless it is clearly slower.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spiq.planning.choose.give_back import Measured, given_back
from spiq.planning.choose.structure import Structure, owners
from spiq.quantized import Quantized
from spiq.runtime.session import session
from spiq.runtime.synthetic import Sizes, Tensors, synthetic_inputs
from spiq.runtime.timing import KernelTime, kernel_times, race

REASON = "faster in float on this machine"

SECONDS = 0.4
"""What one measurement may take."""

_TINY_MS = 0.03
"""Less than that is the time of a call."""

SLACK = {"speed": 0.0, "balanced": 0.03, "accuracy": 0.3}
"""How much of the least time may be paid for accuracy, by what is preferred."""


@dataclass(frozen=True)
class Made:
    """A quantized network, and what is needed to time it and to do better.

    Attributes:
        quantized: The network.
        structure: How the float one hangs together, and what of it runs on integers.
        sizes: Of pictures where the network leaves them open.
    """

    quantized: Quantized
    structure: Structure
    sizes: Sizes


def no_slower(
    network: bytes | str,
    made: Made,
    again: Callable[[Mapping[str, str]], Made] | None,
    slack: float,
) -> Quantized | None:
    """Time a result beside the float network; return the better one, with its time.

    None where both take no time to speak of.

    Args:
        network: The float network.
        made: What was made of it.
        again: Quantizes it with some layers in float, by name, with the reason; None where it is to
            stay as it is.
        slack: How much of the least time may be paid for accuracy.
    """
    opened = session(network, optimize=False)
    feeds = synthetic_inputs(opened, images=1, size=made.sizes.compare)
    found, results = race([network, made.quantized.model], feeds, seconds=SECONDS), [made]
    if found[0].float_ms < _TINY_MS:
        return None
    back = _slower_on_integers(network, made, feeds, slack) if again is not None else []
    if again is not None and back:
        results.append(again(dict.fromkeys(back, REASON)))
        files = [one.quantized.model for one in results]
        found = race([network, *files], feeds, seconds=SECONDS)
    last = len(results) - 1
    clearly_slower = found[last].low > (1 + slack) * found[0].high
    best = 0 if clearly_slower else last
    chosen = results[best].quantized
    return replace(chosen, report=replace(chosen.report, latency=found[best]))


def _slower_on_integers(
    network: bytes | str, made: Made, feeds: Tensors, slack: float
) -> list[str]:
    """Return the layers that are better in float, by name."""
    structure = made.structure
    in_float = kernel_times(network, feeds, seconds=SECONDS)
    on_integers = kernel_times(made.quantized.model, feeds, seconds=SECONDS)
    measured = Measured(
        _by_operator(structure, in_float),
        _by_operator(structure, on_integers),
        _elements(structure, in_float) | _elements(structure, on_integers),
    )
    return given_back(structure, measured, slack)


def _by_operator(structure: Structure, kernels: Mapping[str, KernelTime]) -> dict[str, float]:
    taken: dict[str, float] = {}
    for kernel, owner in owners(structure, kernels).items():
        taken[owner] = taken.get(owner, 0.0) + kernels[kernel].seconds
    return taken


def _elements(structure: Structure, kernels: Mapping[str, KernelTime]) -> dict[str, int]:
    found = owners(structure, kernels)
    return {owner: kernels[kernel].elements for kernel, owner in found.items()}
