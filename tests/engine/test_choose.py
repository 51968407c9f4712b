import os
import sys

import psutil
import pytest

from spiq.engine.choose import opened
from spiq.engine.local import Local
from spiq.errors import ConfigError


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spiq.engine.choose._cpus", lambda: 8)


@pytest.mark.parametrize(
    ("options", "jobs", "threads"),
    [
        ({}, 8, 1),
        ({"jobs": 2}, 2, 4),
        ({"jobs": 3}, 3, 2),
        ({"threads": 4}, 2, 4),
        ({"threads": 16}, 1, 16),
        ({"jobs": 5, "threads": 4}, 5, 4),
    ],
)
def test_room_on_this_machine(options: dict[str, int], jobs: int, threads: int) -> None:
    with opened("local", **options) as engine:
        assert engine == Local(jobs, threads=threads)


def test_memory_bounds_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    total = psutil.virtual_memory().total
    with opened("local", memory=total // 3) as engine:
        assert (engine.jobs, engine.threads) == (3, 2)
    with pytest.raises(ConfigError, match="this machine has"), opened("local", memory=2 * total):
        pass


@pytest.mark.parametrize("name", ["", "dask", "10.0.0.1:6379"])
def test_refuses_engines(name: str) -> None:
    with pytest.raises(ConfigError, match="choose local, auto or ray://"), opened(name):
        pass


@pytest.mark.parametrize("option", ["jobs", "threads", "memory"])
def test_refuses_numbers(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is 0"), opened(**{option: 0}):
        pass


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "spiq.engine.cluster", raising=False)
    with opened("auto") as engine:
        assert isinstance(engine, Local)
    with pytest.raises(ConfigError, match=r"pip install 'spiq\[ray\]'"), opened("ray://nowhere:1"):
        pass


def test_no_cluster_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'spiq[ray]'")
    monkeypatch.setitem(os.environ, "RAY_ADDRESS", "")
    with opened("auto") as engine:
        assert isinstance(engine, Local)
