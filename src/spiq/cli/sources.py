"""What a command's MODEL may be besides an ONNX file: one of the Hub, a PyTorch program, ..."""

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiq.cli import files, output
from spiq.errors import ConfigError
from spiq.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onnx_ir as ir

    from spiq.analysis import Analysis
    from spiq.config import Config
    from spiq.planning.plan.values import Plan
    from spiq.quantized import Quantized
    from spiq.stats.sidecar import Statistics

_SIZE = (320, 320)

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_function(model: Path) -> bool:
    """Return whether MODEL is ``package.module:function`` and no file."""
    fits = _FUNCTION.fullmatch(str(model)) is not None
    return fits and not files.is_hub(model) and not model.exists()


def is_program(model: Path) -> bool:
    """Return whether MODEL is a file of ``torch.export.save`` by its name."""
    return model.suffix.lower() == ".pt2"


def result(model: Path, kind: str = "int8") -> Path:
    """Return where a quantized form of MODEL goes where nothing is said."""
    if model == files.STREAM:
        return model
    if files.is_hub(model):
        return Path(f"{model.name.partition('@')[0].removesuffix('.onnx')}.{kind}.onnx")
    if is_function(model):
        return Path(f"{str(model).rpartition(':')[2]}.{kind}.onnx")
    ending = model.suffix if is_program(model) else ".onnx"
    return model.parent / f"{model.name.removesuffix(ending)}.{kind}.onnx"


def in_float(model: Path) -> Path | None:
    """Return what the float network of a quantized MODEL is called, by :func:`result`.

    None where the name of MODEL does not say it.
    """
    name, _, kind = model.name.removesuffix(".onnx").rpartition(".")
    return model.with_name(f"{name}.onnx") if name and kind in ("int8", *TARGETS) else None


def network(
    model: Path, *, allow_import: bool, size: tuple[int, int] | None
) -> "Path | bytes | ir.Model":
    """Return the network that MODEL names: the path of an ONNX file, its content, or a graph.

    Args:
        model: As it stands on the command line.
        allow_import: Whether code may be imported, and with that run.
        size: Height and width of pictures, where a function gives no example; None for 320.

    Raises:
        ConfigError: Code may not be imported, or PyTorch is not installed.
        SpiqError: The network cannot be read or exported.
    """
    if not is_function(model) and not is_program(model):
        return files.given(model)
    given = _given(model, allow_import=allow_import, size=size)
    from spiq.torch.export import NOTE, exported

    exported_model = exported(*given)
    if NOTE in exported_model.meta:
        output.warn(exported_model.meta[NOTE])
    return exported_model


def quantized(
    network: "Path | bytes | ir.Model",
    how: "Config | Plan",
    statistics: "Statistics | None" = None,
    **learning: Any,
) -> "Quantized":
    """Quantize a network by options or by a plan, and show how far it is.

    Args:
        network: Of :func:`network`.
        how: The options, or the plan.
        statistics: Statistics that are kept beside the network, if there are any.
        learning: How to learn, where a plan asks for that: of :func:`spiq.pipeline.apply`.
    """
    from spiq import pipeline
    from spiq.config import Config

    with _shown() as tell:
        if isinstance(how, Config):
            return pipeline.quantize(network, how, statistics=statistics, progress=tell)
        return pipeline.apply(network, how, statistics=statistics, progress=tell, **learning)


def explained(
    network: "Path | bytes | ir.Model",
    how: "Config | Plan",
    statistics: "Statistics | None" = None,
    **learning: Any,
) -> "tuple[Quantized, Analysis | None]":
    """Quantize a network as :func:`quantized`; return what is known of it, where that is at hand.

    Of a network that follows a plan it is not.
    """
    from spiq import pipeline
    from spiq.config import Config

    if not isinstance(how, Config):
        return quantized(network, how, statistics, **learning), None
    with _shown() as tell:
        return pipeline.explained(network, how, statistics=statistics, progress=tell)


@contextmanager
def _shown() -> "Iterator[Callable[[str], None]]":
    """Show the steps of a quantization, and what is kept of one that is stopped."""
    from spiq import pipeline

    told = ""
    with output.steps(pipeline.STEPS) as show:

        def tell(step: str) -> None:
            nonlocal told
            told = step
            show(step)

        try:
            yield tell
        except KeyboardInterrupt:
            if told.startswith("stopped: "):
                output.note(told)
            raise


def of_pixels(
    network: "Path | bytes | ir.Model", how: "Config | Plan"
) -> "tuple[ir.Model, Config | Plan]":
    """Return a network that takes pixels in place of floats, and the options that are left.

    Raises:
        ConfigError: The options do not say what pixels become.
        ModelError: The network cannot be used.
    """
    from spiq.config import Config
    from spiq.pixels import with_pixels

    assert isinstance(how, Config)
    return with_pixels(network, how)


def plain(network: "Path | bytes | ir.Model") -> str | bytes:
    """Return a network as its path, or as bytes."""
    from spiq.io.write import serialize

    if isinstance(network, Path):
        return str(network)
    return network if isinstance(network, bytes) else serialize(network)


def statistics(model: Path, *, allow_import: bool, size: tuple[int, int] | None) -> "Statistics":
    """Return what BatchNorm says of the layers of MODEL, which is no ONNX file.

    Arguments and errors are those of :func:`network`.
    """
    given = _given(model, allow_import=allow_import, size=size)
    from spiq.torch import statistics

    return statistics(*given)


def _given(model: Path, *, allow_import: bool, size: tuple[int, int] | None) -> tuple[Any, ...]:
    """Return what to call a function of :mod:`spiq.torch` with."""
    if is_function(model) and not allow_import:
        raise ConfigError(
            f"{model}: to import a function is to run its code: allow it with --allow-import"
        )
    try:
        from spiq.torch.files import build, load
    except ImportError as error:
        raise ConfigError(f"{model}: {error}") from error
    return (load(model),) if is_program(model) else build(str(model), size=size or _SIZE)
