"""Quantize thousands of damaged model files: each ends in a model or in one clear error.

Mutants (mutations.py) of small networks (victims.py) are quantized in worker processes. Counted as
failures: an exception or a warning that is no SpiqError, or one of several lines; a worker that
dies, takes more than 10 s of processor time for a file, or holds more than 1 GB. Mutant i is the
same for the same seed, so each can be looked at again with --only.

Usage: python bench/mutate.py [--count 10000] [--seed 0] [--workers 2] [--only I...] [--keep DIR]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import mutations
import victims

ROOT = Path(__file__).resolve().parents[1]
ZOO = Path(os.environ.get("SPIQ_ZOO", ROOT.parent / "shared" / "zoo"))
LONGEST, LARGEST = 10.0, 1 << 30
"""Seconds of processor time and bytes of resident memory that a file may take."""

PATIENCE = 180.0
"""Seconds in all, on a machine that does other things too: more is waiting for something."""

_SMALL = 100_000
"""Bytes of networks that are chosen more often than larger ones, which take longer."""

_POLL = 0.005


@dataclass(frozen=True)
class Outcome:
    """How one mutant ended: ``done``, ``refused``, or how it failed; and where or why."""

    index: int
    verdict: str
    detail: str = ""


def mutant(seed: int, index: int, given: list[victims.Victim]) -> mutations.Mutant:
    """Return mutant ``index`` of a seed."""
    rng = np.random.default_rng([seed, index])
    shares = np.array([1.0 if len(victim.content) < _SMALL else 0.3 for victim in given])
    chosen = given[int(rng.choice(len(given), p=shares / shares.sum()))]
    return mutations.mutate(chosen, rng)


def attempt(damaged: victims.Victim, folder: Path) -> tuple[str, str]:
    """Quantize one file here; return how it ended, and the message or where it was raised."""
    from spiq import pipeline
    from spiq.config import Config
    from spiq.errors import SpiqError

    path = victims.stored(damaged, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pipeline.quantize(path, Config(timing=False))
    except SpiqError as error:
        message = str(error)
        return ("refused" if message and "\n" not in message else "message"), message
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f"{os.sep}spiq{os.sep}" in f.filename] or frames
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"
        return "traceback", f"{place}: {type(error).__name__}: {error}".replace("\n", " ")[:300]
    return "done", ""


def work(pipe: Connection, seed: int, folder: str) -> None:
    """Answer each index with how its mutant ended."""
    logging.getLogger("onnx_ir").addHandler(logging.NullHandler())
    given = victims.victims(ZOO)
    with tempfile.TemporaryDirectory() as scratch:  # everything is imported, and pages are there
        attempt(given[0], Path(scratch))
    pipe.send(None)
    while (index := pipe.recv()) is not None:
        pipe.send(attempt(mutant(seed, index, given).victim, Path(folder)))


class Worker:
    """A process that quantizes mutants, one after another, watched from here."""

    def __init__(self, seed: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        folder.mkdir(exist_ok=True)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, seed, str(folder)), daemon=True)
        self._process.start()
        theirs.close()
        self._index, self._since, self._worked = -1, 0.0, 0.0
        self._pipe.recv()  # it has imported everything

    def give(self, index: int) -> None:
        """Start on a mutant."""
        self._index, self._since, self._worked = index, time.monotonic(), self._processor_time()
        self._pipe.send(index)

    def look(self) -> Outcome | None:
        """Return how the mutant ended; None where it has not."""
        try:
            if self._pipe.poll():
                return Outcome(self._index, *self._pipe.recv())
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Outcome(self._index, "crash", f"exit code {self._process.exitcode}")
        if self._processor_time() - self._worked > LONGEST:
            return Outcome(self._index, "hang")
        if time.monotonic() - self._since > PATIENCE:
            return Outcome(self._index, "hang", "it waits for something")
        if self._resident() > LARGEST:
            return Outcome(self._index, "memory")
        return None

    def _processor_time(self) -> float:
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _resident(self) -> int:
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()


def outcomes(
    indices: list[int], seed: int, workers: int, make: Callable[[int, Path], Worker] = Worker
) -> Iterator[Outcome]:
    """Yield how each mutant ended, in the order in which they end."""
    waiting = iter(indices)
    with tempfile.TemporaryDirectory() as scratch:
        free = [Path(scratch) / str(number) for number in range(workers)]
        running: dict[Path, Worker] = {}
        for folder in free:
            index = next(waiting, None)
            if index is not None:
                running[folder] = make(seed, folder)
                running[folder].give(index)
        while running:
            time.sleep(_POLL)
            for folder, worker in list(running.items()):
                outcome = worker.look()
                if outcome is None:
                    continue
                yield outcome
                index = next(waiting, None)
                if index is None or outcome.verdict in ("crash", "hang", "memory"):
                    worker.end()
                    del running[folder]
                    if index is not None:
                        running[folder] = make(seed, folder)
                if index is not None:
                    running[folder].give(index)


def keep(damaged: victims.Victim, folder: Path) -> None:
    """Store a mutant where it can be looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    victims.stored(damaged, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Quantize damaged model files.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", metavar="I", help="these mutants only")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="store those that fail")
    arguments = parser.parse_args()
    logging.getLogger("onnx_ir").addHandler(logging.NullHandler())
    given, start = victims.victims(ZOO), time.monotonic()
    indices = arguments.only or list(range(arguments.first, arguments.first + arguments.count))
    verdicts: Counter[str] = Counter()
    for outcome in outcomes(indices, arguments.seed, arguments.workers):
        verdicts[outcome.verdict] += 1
        if verdicts.total() % 1000 == 0:
            print(f"{verdicts.total()} of {len(indices)}", file=sys.stderr, flush=True)
        if outcome.verdict in ("done", "refused") and not arguments.only:
            continue
        made = mutant(arguments.seed, outcome.index, given)
        print(f"{outcome.index} {made.victim.name}: {outcome.verdict}: {outcome.detail}")
        print(f"    {made.what}", flush=True)
        if arguments.keep is not None:
            keep(made.victim, arguments.keep / str(outcome.index))
    failed = verdicts.total() - verdicts["done"] - verdicts["refused"]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    seconds = time.monotonic() - start
    print(f"{failed} of {verdicts.total()} fail ({counts}), seed {arguments.seed}, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
