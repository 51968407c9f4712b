"""Never slower than float: the result is timed, and regions that are faster in float go back.

Whether integers are faster depends on the network and on the CPU at hand, so both networks are
timed beside each other. Where integers gain little, or lose, kernel by kernel of both is timed,
what would be faster in float is worked out (:mod:`spiq.planning.choose.give_back`), and the network
is quantized again so. What comes out is timed, too: the faster one is taken.
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

_ENOUGH = 0.5
"""Below this ratio of times kernels are not looked at."""

_TINY_MS = 0.03
"""Networks that take less are not timed: that is the time of a call."""


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
    network: bytes | str, made: Made, again: Callable[[Mapping[str, str]], Made] | None
) -> Quantized:
    """Time a result beside the float network; return what is fastest, with its time.

    Args:
        network: The float network.
        made: What was made of it.
        again: Quantizes it with some layers in float, by name, with the reason; None where it is to
            stay as it is.
    """
    opened = session(network, optimize=False)
    feeds = synthetic_inputs(opened, images=1, size=made.sizes.compare)
    found, results = race([network, made.quantized.model], feeds, seconds=SECONDS), [made]
    if found[0].float_ms < _TINY_MS:
        return made.quantized

    if again is not None and found[0].ratio > _ENOUGH:
        back = _slower_on_integers(network, made, feeds)
        if back:
            results.append(again(dict.fromkeys(back, REASON)))
            files = [one.quantized.model for one in results]
            found = race([network, *files], feeds, seconds=SECONDS)
    fastest = min(range(len(results)), key=lambda number: found[number].ratio)
    best = results[fastest].quantized
    return replace(best, report=replace(best.report, latency=found[fastest]))


def _slower_on_integers(network: bytes | str, made: Made, feeds: Tensors) -> list[str]:
    """Return the layers that would be faster in float, by name."""
    structure = made.structure
    in_float = kernel_times(network, feeds, seconds=SECONDS)
    on_integers = kernel_times(made.quantized.model, feeds, seconds=SECONDS)
    measured = Measured(
        _by_operator(structure, in_float),
        _by_operator(structure, on_integers),
        _elements(structure, in_float) | _elements(structure, on_integers),
    )
    return given_back(structure, measured)


def _by_operator(structure: Structure, kernels: Mapping[str, KernelTime]) -> dict[str, float]:
    taken: dict[str, float] = {}
    for kernel, owner in owners(structure, kernels).items():
        taken[owner] = taken.get(owner, 0.0) + kernels[kernel].seconds
    return taken


def _elements(structure: Structure, kernels: Mapping[str, KernelTime]) -> dict[str, int]:
    found = owners(structure, kernels)
    return {owner: kernels[kernel].elements for kernel, owner in found.items()}
