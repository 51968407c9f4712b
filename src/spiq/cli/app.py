"""The parser: which commands there are, and how each of their errors is said."""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from spiq import __version__
from spiq.cli.bench import bench
from spiq.cli.card import app as card
from spiq.cli.common import common
from spiq.cli.convert import convert
from spiq.cli.demo import demo
from spiq.cli.evaluate import evaluate
from spiq.cli.gate import gate
from spiq.cli.inspect import inspect
from spiq.cli.output import complain, drop_stdout, one_line
from spiq.cli.pareto import pareto
from spiq.cli.plan import app as plan
from spiq.cli.quantize import quantize
from spiq.cli.report import report
from spiq.cli.schema import schema
from spiq.cli.streams import FAILED, UNPRINTED
from spiq.cli.sweep import sweep
from spiq.cli.torch import app as torch
from spiq.errors import SpiqError

__all__ = ["run"]

_UsageError: Any = typer.BadParameter.__bases__[0]
"""The parser's error for a wrong command line; newer versions of typer have a parser of their own,
so its module differs."""

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Quantize neural networks to int8 without any data: ONNX in, ONNX out.",
)
app.command("quantize")(common(quantize))
app.command("convert")(common(convert))
app.command("inspect")(common(inspect))
app.command("report")(common(report))
app.command("eval")(common(evaluate))
app.command("bench")(common(bench))
app.command("sweep")(common(sweep))
app.command("pareto")(common(pareto))
app.command("gate")(common(gate))
app.command("demo")(common(demo))
app.command("schema")(schema)
app.add_typer(plan, name="plan")
app.add_typer(card, name="card")
app.add_typer(torch, name="torch")


def run(arguments: Sequence[str]) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: The command line without the program's name.
    """
    # What a library has to say about a file is in spiq's own message, if it matters.
    logging.getLogger("onnx_ir").addHandler(logging.NullHandler())
    try:
        code = app(list(arguments) or ["--help"], prog_name="spiq", standalone_mode=False)
        sys.stdout.flush()
    except SpiqError as error:
        return _failed(str(error))
    except _UsageError as error:
        return _failed(error.format_message())
    except typer.Abort:
        raise KeyboardInterrupt from None
    except OSError as error:
        if error.filename is not None:  # a file is spoken of by the error of whoever reads it
            raise
        return _unprinted(error)
    return code if isinstance(code, int) else 0


def _failed(message: str) -> int:
    complain(f"spiq: error: {one_line(message)}")
    return FAILED


def _unprinted(error: OSError) -> int:
    """Leave without the result, which nobody takes: the pipe is closed, or the disk full."""
    drop_stdout()
    if isinstance(error, BrokenPipeError):
        return UNPRINTED  # as the parser does where it notices itself
    return _failed(f"the result cannot be printed: {error.strerror}: print it elsewhere")


def _version(asked: bool) -> None:
    if asked:
        print(f"spiq {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take what stands before the command."""
