"""Run a float network and a quantized one side by side and compare them tensor by tensor.

What is compared, and how: :mod:`spiq.inspection.tensor_sums`. Both networks run as written, so that
exposing a tensor changes nothing; those of half or double precision as they are read.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from spiq.config import Config
from spiq.errors import ConfigError
from spiq.inspection.counterparts import counterparts, unmatched_layers
from spiq.inspection.exposed import Exposed, exposed
from spiq.inspection.feeds import feeds
from spiq.inspection.in_single import AsRun, in_single
from spiq.inspection.tensor_sums import AllSums, TensorComparison
from spiq.runtime.opened import Tensors
from spiq.runtime.session import call

IMAGES = 4

DEFAULT = Config()
"""Nothing is said of the inputs."""

Watch = Callable[[str, npt.NDArray[np.generic]], None]
"""Shown each tensor of the float network that is compared, for one image after the other."""


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """What ``spiq inspect A B`` shows, tensors in the order of execution."""

    reference: str
    other: str
    tensors: tuple[TensorComparison, ...]
    unmatched: tuple[str, ...] = ()
    """Layer outputs of the float network that the other one does not have by name."""


def compare(
    reference: str | os.PathLike[str] | bytes,
    other: str | os.PathLike[str] | bytes,
    *,
    images: int = IMAGES,
    watch: Watch | None = None,
    config: Config = DEFAULT,
) -> CompareResult:
    """Compare the tensors of two networks on the same inputs: synthetic ones, or images of yours.

    >>> import spiq
    >>> from spiq.demo import model_path
    >>> compared = spiq.compare(model_path(), spiq.quantize(model_path()).model)
    >>> all(tensor.cosine > 0.99 for tensor in compared.tensors)
    True

    The tensors of a network that spiq quantized are compared up to one gain per channel, which
    its folding removes from them.

    Args:
        reference: Path or bytes of the float network.
        other: Path or bytes of the quantized one; of spiq or of another tool that keeps names.
        images: How many synthetic images.
        watch: Shown what the float network makes of them.
        config: What it says of the inputs, their ranges, order and size, and ``config.images``,
            which are shown in place of synthetic ones; the rest of it means nothing here.

    Raises:
        ModelError: A network cannot be loaded or run.
        ConfigError: The networks do not have the same inputs, or share no tensor; the images
            cannot be read, or what is said does not fit the inputs.
    """
    first, second = in_single(reference, "reference"), in_single(other, "other")
    return compared(first, second, images=images, watch=watch, config=config)


def compared(
    reference: AsRun,
    other: AsRun,
    *,
    images: int = IMAGES,
    watch: Watch | None = None,
    config: Config = DEFAULT,
) -> CompareResult:
    """Compare two networks that were read already: as :func:`compare`.

    Args:
        reference: The float network.
        other: The quantized one.
        images: How many synthetic images.
        watch: Shown what the float network makes of them.
        config: What it says of the inputs.
    """
    first, second = exposed(reference), exposed(other)
    _check(first, second)
    pairs = _pairs(first, second)
    sums = _compared(pairs, (first, second), feeds(first, second, images, config), watch)
    return CompareResult(
        reference=first.where,
        other=second.where,
        tensors=tuple(
            found.comparison(name, first.graph.writers[name]) for name, found in sums.items()
        ),
        unmatched=unmatched_layers(first.graph, sums),
    )


def _check(first: Exposed, second: Exposed) -> None:
    if sorted(first.inputs) != sorted(second.inputs):
        raise ConfigError(
            f"{first.where} has the inputs {', '.join(sorted(first.inputs))}, but {second.where} "
            f"has {', '.join(sorted(second.inputs))}: give two forms of the same network"
        )
    theirs = _kinds(second)
    for name, kind in _kinds(first).items():
        if theirs[name] != kind:
            raise ConfigError(
                f"input '{name}' is {kind} in {first.where} and {theirs[name]} in {second.where}, "
                "which are shown the same numbers: give two forms that take the same"
            )
    if _is_quantized(first) and not _is_quantized(second):
        raise ConfigError(
            f"{first.where} is quantized, {second.where} is not: give the float first"
        )


def _compared(
    pairs: Mapping[str, str],
    networks: tuple[Exposed, Exposed],
    shown: Iterable[Tensors],
    watch: Watch | None,
) -> dict[str, AllSums]:
    first, second = networks
    real = _in_real_units(second.proto)
    if not pairs:
        raise ConfigError(
            f"{first.where} and {second.where} share no float tensor by name: give two forms of "
            "the same network, or quantize without renaming"
        )
    sums: dict[str, AllSums] = {}
    for feed in shown:
        expected = _run(first, list(pairs), feed)
        actual = _run(second, list(dict.fromkeys(pairs.values())), feed)
        if watch is not None:
            for name, array in (feed | expected).items():
                watch(name, array)
        for name, match in pairs.items():
            found = _without_padding(actual[match], expected[name].shape)
            if expected[name].size == found.size:
                own = sums.setdefault(name, AllSums(fitted=not real(match)))
                own.add(expected[name], found.reshape(expected[name].shape))
    return sums


def _without_padding(
    array: npt.NDArray[np.generic], shape: tuple[int, ...]
) -> npt.NDArray[np.generic]:
    """Return a tensor without channels that were added to it, if it has any."""
    is_wider = array.ndim == len(shape) > 1 and array.shape[1] > shape[1]
    others_fit = array.shape[:1] + array.shape[2:] == shape[:1] + shape[2:]
    return array[:, : shape[1]] if is_wider and others_fit else array


def _pairs(first: Exposed, second: Exposed) -> dict[str, str]:
    ours, theirs = first.floats(), second.floats()
    found = counterparts(first.graph, second.graph)
    return {name: match for name, match in found.items() if name in ours and match in theirs}


def _kinds(network: Exposed) -> dict[str, str]:
    """Return the types of the inputs' numbers, by name."""
    return {
        port.name: port.type.removeprefix("tensor(").removesuffix(")")
        for port in network.session.get_inputs()
    }


def _is_quantized(network: Exposed) -> bool:
    return any(node.op_type == "DequantizeLinear" for node in network.proto.graph.node)


def _in_real_units(proto: onnx.ModelProto) -> Callable[[str], bool]:
    """Return what says of a tensor, by its name, whether it holds real units for certain."""
    folded = any(entry.key == "spiq.method" for entry in proto.metadata_props)
    outputs = {output.name for output in proto.graph.output}
    return lambda name: not folded or name in outputs or name.endswith("_real")


def _run(network: Exposed, wanted: list[str], feed: Tensors) -> Tensors:
    return dict(zip(wanted, call(network.session, wanted, feed, where=network.where), strict=True))
