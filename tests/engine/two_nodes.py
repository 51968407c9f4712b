"""A real Ray cluster of two machines, each of which is a few processes of this one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest


@dataclass
class TwoNodes:
    """A cluster of a head, where nothing runs, and of two machines with two CPUs each."""

    cluster: Any
    nodes: list[Any]

    def remove(self, number: int) -> None:
        """Pull the plug of a machine."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)

    def workers(self, number: int) -> list[psutil.Process]:
        """Processes that do jobs on a machine."""
        raylet = self.nodes[number].all_processes["raylet"][0].process
        try:
            below = psutil.Process(raylet.pid).children(recursive=True)
        except psutil.Error:  # it is gone
            return []
        return [one for one in below if "ray::_Worker" in " ".join(_command(one))]

    def kill_one(self) -> bool:
        """Kill a process that does a job, if there is one by now: a started job has none at first,
        and one that is seen may end before it is killed."""
        for process in (*self.workers(0), *self.workers(1)):
            try:
                process.kill()
            except psutil.Error:
                continue
            return True
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Start the cluster, and have ``auto`` find it."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'spiq[ray]'")
    from ray.cluster_utils import Cluster

    # a machine that is gone refuses the question at once; one that is only busy has time to answer
    patient = {"health_check_failure_threshold": 3, "health_check_period_ms": 500,
               "health_check_initial_delay_ms": 500, "health_check_timeout_ms": 20_000}  # fmt: skip
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": patient},
        )
        try:
            nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
            environment.setenv("RAY_ADDRESS", cluster.address)
            yield TwoNodes(cluster, nodes)
        finally:
            cluster.shutdown()
