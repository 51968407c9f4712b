"""Options of what does many jobs at a time, on this machine or on a cluster."""

from typing import Annotated

import typer

On = Annotated[
    str,
    typer.Option(
        metavar="local|auto|ray://HOST:PORT",
        help="Where jobs run: here, on the Ray cluster that there is (else here), or on that one.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Processes at a time. Default: as many as there is room for.",
        show_default=False,
    ),
]  # fmt: skip
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Of each process. Default: 1, or what --jobs leaves each.",
        show_default=False,
    ),
]  # fmt: skip
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="Of each process, such as 2G: no more run at a time than there is "
        "memory for.", show_default=False,
    ),
]  # fmt: skip
Shards = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Divide the images into so many parts, each done by a process of its "
        "own: the same figures. Default: on a cluster, as many as there is room for.",
        show_default=False,
    ),
]  # fmt: skip
