"""Jobs on a Ray cluster: an actor for each job, that is, a process of its own on some machine.

Ray finds a machine with enough free threads and memory, and starts a process there. What a job
tells waits in its actor until it is asked for: one question is open to each running actor, and is
answered as soon as there is something. (Generators that stream would say the same, but not through
``ray://``.)

A process that dies takes no other along. Where its machine is gone, too, it was not its fault.
"""

import io
import logging
import sys
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread, current_thread
from typing import Any, TextIO

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from spiq.engine.code import code_hash
from spiq.engine.job import THREADS, Ended, Job, in_a_line
from spiq.errors import ConfigError

_LOG = logging.getLogger(__name__)

_PATIENCE = 0.2
"""Seconds of waiting at a time, so that Ctrl-C is heard."""

_PAUSE, _ANSWERS = 0.1, 200
"""Seconds from one answer of an actor to the next, at least, and answers of all of them a second,
at most (each takes 1 ms here): what is told in between comes together."""

_SILENCE = 10.0
"""Seconds after which an actor answers all the same."""

_SPARE = 2
"""Jobs that wait in Ray beyond what the cluster can do now: it may grow where it sees that."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster; a connection that there is already is left as it is.

    Raises:
        ConnectionError: There is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error says it
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with redirect_stdout(_Quiet(sys.stdout)):
            yield
    finally:
        with redirect_stdout(io.StringIO()):  # what it had not yet printed
            ray.shutdown()


class _Quiet(io.TextIOBase):
    """stdout without what Ray prints there of processes that die: results go there."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        if current_thread().name == "ray_listen_error_messages":
            _LOG.debug(text.strip())
            return len(text)
        return self._out.write(text)

    def flush(self) -> None:
        self._out.flush()


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The cluster that this process is connected to."""

    threads: int = 1
    """Of each job."""
    memory: int = 0
    """Bytes that each job may take, for Ray to reckon with; 0: it does not."""
    most: int | None = None
    """Jobs at a time, at most."""

    @property
    def jobs(self) -> int:
        """How many the cluster can do at a time, as it is now."""
        there = ray.cluster_resources()
        places = int(there.get("CPU", 0) // self.threads)
        if self.memory:
            places = min(places, int(there.get("memory", 0) // self.memory))
        return max(1, places if self.most is None else min(self.most, places))

    def attend(self, waiting: deque[Job]) -> Generator[tuple[Job, Any]]:
        """As :meth:`spiq.engine.job.Engine.attend`.

        Raises:
            ConfigError: A machine of the cluster has another spiq.
        """
        running: dict[Any, _Running] = {}
        try:
            while waiting or running:
                for _ in range(min(len(waiting), self._free(len(running)))):
                    started = self._start(waiting.popleft())
                    running[started.ask()] = started
                pause = max(_PAUSE, len(running) / _ANSWERS)
                for answer in _ready(list(running)):
                    one = running.pop(answer)
                    news = one.heard(answer)
                    if not (news and isinstance(news[-1], Ended)):
                        running[one.ask(pause)] = one
                    yield from ((one.job, message) for message in news)
        finally:
            for left in running.values():
                ray.kill(left.actor)

    def _free(self, running: int) -> int:
        return (self.most or self.jobs + _SPARE) - running

    def _start(self, job: Job) -> "_Running":
        actor = ray.remote(_Worker).options(
            num_cpus=self.threads,
            memory=self.memory or None,
            max_restarts=0,
            runtime_env={"env_vars": dict.fromkeys(THREADS, str(self.threads))},
        )
        return _Running(job=job, actor=actor.remote(job.do, job.given))


@dataclass(kw_only=True)
class _Running:
    job: Job
    actor: Any
    where: "_Where | None" = None

    def ask(self, pause: float = 0.0) -> Any:
        return self.actor.news.remote(pause)

    def heard(self, answer: Any) -> list[Any]:
        """Return what an actor answered; its death is an answer, too."""
        try:
            news: list[Any] = ray.get(answer)
        except ActorUnavailableError:  # perhaps it only takes long
            return []
        except RayActorError as error:
            return [self._death(error)]
        if news and isinstance(news[0], _Where):
            self.where = news.pop(0)
            self.where.check()
        if news and isinstance(news[-1], Ended):
            ray.kill(self.actor)
        return news

    def _death(self, error: RayActorError) -> Ended:
        """Tell a process that died from one whose machine is gone."""
        said = " ".join(str(error).split())
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        host = f" {self.where.host}" if self.where else ""
        if "node has died" in said or (self.where and self.where.node not in alive):
            return Ended(f"its machine{host} is gone", "lost")
        at = f" on{host}" if host else ""
        return Ended(f"its process{at} died: {_detail(said)}", "died")


@dataclass(frozen=True, kw_only=True)
class _Where:
    """The machine that a job is done on, and what spiq is there."""

    node: str
    host: str
    code: str

    def check(self) -> None:
        if self.code != code_hash():
            raise ConfigError(
                f"machine {self.host} of the cluster has another version of spiq or of "
                "onnxruntime than this one: install the same on all of them"
            )


class _Worker:
    """In a process of the cluster: does a job in a thread, and answers what it has told."""

    def __init__(self, do: Any, given: Any) -> None:
        self._told: SimpleQueue[Any] = SimpleQueue()
        self._told.put(_where())
        Thread(target=self._do, args=(do, given), daemon=True).start()

    def news(self, pause: float) -> list[Any]:
        """Wait for something to be told; return all of it, at last an ``Ended``."""
        try:
            news = [self._told.get(timeout=_SILENCE)]
        except Empty:
            return []
        time.sleep(pause)
        while not self._told.empty():
            news.append(self._told.get())
        return news

    def _do(self, do: Any, given: Any) -> None:
        try:
            do(given, self._told.put)
        except BaseException as error:
            self._told.put(Ended(in_a_line(error), "raised"))
        else:
            self._told.put(Ended())


def _ready(answers: list[Any]) -> list[Any]:
    """Wait for an answer; return all that are there then."""
    if not ray.wait(answers, timeout=_PATIENCE)[0]:
        return []
    ready: list[Any] = ray.wait(answers, num_returns=len(answers), timeout=0)[0]
    return ready


def _where() -> _Where:
    context = ray.get_runtime_context()
    host = ray.util.get_node_ip_address()
    return _Where(node=context.get_node_id(), host=host, code=code_hash())


def _detail(said: str) -> str:
    """Return what Ray says of how a process ended, without what it says to everybody."""
    detail = said.partition("exit detail: ")[2] or said
    return detail.partition(" Some common causes include")[0]
