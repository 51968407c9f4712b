"""Groups of options that several commands take: each option is said once.

A command that takes a group reads it from its context, as :func:`spiq.cli.options.config` does.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from spiq.cli import options
from spiq.cli.common import Command, with_options

LOOKED_AT: Mapping[str, tuple[Any, object]] = {
    "target": (options.Target, "onnxruntime"),
    "exclude": (options.Exclude, None),
    "exclude_type": (options.ExcludeType, None),
    "exclude_between": (options.ExcludeBetween, None),
    "input_range": (options.InputRange, None),
    "input_mean": (options.InputMean, None),
    "input_std": (options.InputStd, None),
    "input_size": (options.InputSize, None),
    "input_order": (options.InputOrder, "RGB"),
    "images": (options.Images, None),
    "card": (options.Card, None),
}
"""What says what a network is and what of it stays in float: kind and default, by name."""

PLANNED: Mapping[str, tuple[Any, object]] = {
    "method": (options.Method, "spiq"),
    "weight_bits": (options.WeightBits, 8),
    "activation_bits": (options.ActivationBits, 8),
    "first_last_bits": (options.FirstLastBits, None),
    "bits_per_weight": (options.BitsPerWeight, None),
    "max_bytes": (options.MaxBytes, None),
    **LOOKED_AT,
}
"""What a plan is made by."""

QUANTIZATION = (*PLANNED, "timing", "prefer", "effort", "device", "seed")
"""Names of the options that say how to quantize; :func:`spiq.cli.options.config` reads them."""


def taking(group: Mapping[str, tuple[Any, object]], *, before: str) -> Callable[[Command], Command]:
    """Give a command the options of a group, in front of one of its own."""

    def wrapped(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{name: value for name, value in given.items() if name not in group})

        return with_options(run, command, group, before)

    return wrapped
