"""The command line: parse, call, print. One module per command; no decisions here.

Everything heavy is imported inside the commands, so that ``spiq --help`` answers at once.
Results go to stdout, as a table or with ``--json`` for machines. Errors are one line on stderr:

    0      done
    1      done, and written, but nobody takes what is printed
    2      a model, an option or a file is wrong; nothing was written
    3      a gate: the network is worse than its baseline
    130    interrupted; nothing was half-written

The parser is imported when Ctrl-C is already watched for.

app, common, groups                        the parser, and the options that commands share
options, strong, engines, plots, texts     these options, and what their texts mean
sources, files                             where networks come from and results go
output, render, typed                      what is said, and how
journal, streams, interrupt                how much of it, on streams of any kind, and Ctrl-C
quantize, convert, plan, pareto            the commands: they make networks, or decide;
inspect, report, bench, evaluate, card,    look and measure;
gate, sweep
torch, schema, demo                        or are for PyTorch's programs, the schemas of --json, and
                                           the demo
"""

import os
import sys
from collections.abc import Sequence

from spiq.cli.interrupt import INTERRUPTED, came, end, watch
from spiq.cli.streams import FAILED, lacks_memory, take_anything

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: The command line without the program's name; None takes the process's, and
            watches for Ctrl-C until it ends.
    """
    try:
        if arguments is None:
            take_anything()
            watch()
        from spiq.cli.app import run

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        # A library may have made another error of the interrupt on its way.
        if came():
            return INTERRUPTED
        if lacks_memory(error):
            os.write(2, b"spiq: error: out of memory: allow more, or close other programs\n")
            return FAILED
        raise
    finally:
        end()
