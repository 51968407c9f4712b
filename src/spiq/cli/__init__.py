"""The command line: parse, call, print. One module per command; no decisions here.

Everything heavy is imported inside the commands, so that ``spiq --help`` answers at once.
Results go to stdout, as a table or with ``--json`` for machines. Errors are one line on stderr:

    0      done
    2      a model, an option or a file is wrong; nothing was written
    130    interrupted; nothing was half-written
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from spiq import __version__
from spiq.cli.bench import bench
from spiq.cli.card import app as card
from spiq.cli.demo import demo
from spiq.cli.evaluate import evaluate
from spiq.cli.inspect import inspect
from spiq.cli.quantize import quantize
from spiq.errors import SpiqError

__all__ = ["main"]

FAILED, INTERRUPTED = 2, 130

_UsageError: Any = typer.BadParameter.__bases__[0]
"""The parser's error for a wrong command line; newer versions of typer have a parser of their own,
so its module differs."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Quantize neural networks to int8 without any data: ONNX in, ONNX out.",
)
app.command("quantize")(quantize)
app.command("inspect")(inspect)
app.command("eval")(evaluate)
app.command("bench")(bench)
app.command("demo")(demo)
app.add_typer(card, name="card")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: The command line without the program's name; None takes the process's.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(given or ["--help"], prog_name="spiq", standalone_mode=False)
    except SpiqError as error:
        return _failed(str(error))
    except _UsageError as error:
        return _failed(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _failed(message: str) -> int:
    print("spiq: error:", " ".join(message.split()), file=sys.stderr)
    return FAILED


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
