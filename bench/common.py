"""What the benchmarks share: their networks, spiq's models of them, and the files of results.

A network comes from the zoo, a folder with task cards that SPIQ_ZOO names, or is one of
networks.TOPOLOGIES with random weights. What is made of it lies in a folder of models:
<network>/float.onnx (random weights only), <network>/spiq.onnx and so on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np

import networks
import spiq
from spiq.config import Config
from spiq.errors import ModelError
from spiq.evaluation.cards import read as cards
from spiq.evaluation.data import datasets
from spiq.evaluation.data.preprocess import input_range, to_input
from spiq.input_values import Range
from spiq.runtime.session import session

ROOT = Path(__file__).resolve().parents[1]
ZOO = Path(os.environ.get("SPIQ_ZOO", ROOT.parent / "shared" / "zoo"))
RESULTS = Path(os.environ.get("SPIQ_BENCH_RESULTS", ROOT / "bench" / "results"))
MODELS = ROOT / "bench" / "models"

METHODS = {"spiq": "spiq", "spiq_static": "static", "spiq_dynamic": "dynamic"}
"""The row of each of spiq's methods in the results."""

CALIBRATION_SEED = 1
"""Of the synthetic images for networks without a card; the networks themselves use 0."""


@dataclass(frozen=True)
class Network:
    """A float network and its task card, None for one with random weights."""

    name: str
    path: Path
    card: cards.Card | None

    def images(self, count: int) -> np.ndarray:
        """The first `count` images as the network's input, float32 (count, C, H, W)."""
        if self.card is None:
            return networks.sample_images(count, seed=CALIBRATION_SEED)
        stored: list[np.ndarray] = []
        for part in datasets.parts(self.card):
            if sum(map(len, stored)) < count:
                stored.append(np.load(part)["images"])
        return to_input(np.concatenate(stored)[:count], self.card.input)

    def input_range(self) -> tuple[Range, ...]:
        """What pixels become in each channel: all that spiq is told beside the network."""
        if self.card is not None:
            return input_range(self.card.input)
        pairs = zip(networks.MEAN, networks.STD, strict=True)
        return tuple((-mean / std, (1 - mean) / std) for mean, std in pairs)


def zoo() -> list[Network]:
    """The networks of the zoo, by task and name."""
    found = sorted(ZOO.glob("*/*/zoo.toml"))
    if not found:
        raise SystemExit(f"no networks in {ZOO}: set SPIQ_ZOO to the zoo's folder")
    return [Network(x.name, x.path.with_name("model.onnx"), x) for x in map(cards.read, found)]


def everything(models: Path) -> list[Network]:
    """The zoo, and what it lacks of the networks with random weights."""
    real = zoo()
    lacking = [name for name in networks.TOPOLOGIES if name not in {one.name for one in real}]
    return [*real, *(Network(name, models / name / "float.onnx", None) for name in lacking)]


def select(available: Sequence[Network], names: Iterable[str]) -> list[Network]:
    """The networks of these names (none: all); those with random weights are built if missing."""
    by_name = {network.name: network for network in available}
    if unknown := [name for name in names if name not in by_name]:
        raise SystemExit(f"unknown networks: {', '.join(unknown)}; known: {', '.join(by_name)}")
    chosen = [by_name[name] for name in names] or list(available)
    for network in chosen:
        if network.card is None and not network.path.exists():
            networks.write(network.name, network.path)
    return chosen


def parser(description: str) -> argparse.ArgumentParser:
    """Command line with the names of networks and the folder of models."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all")
    made.add_argument("--models", type=Path, default=MODELS, help="default: bench/models")
    return made


def timed_parser(description: str, *, seconds: float) -> argparse.ArgumentParser:
    """The same with how long to measure."""
    made = parser(description)
    made.add_argument("--seconds", type=float, default=seconds, help="per network")
    made.add_argument("--rounds", type=int, default=100, help="at most")
    return made


def quantize(network: Network, row: str, models: Path, *, timing: bool = True) -> Path:
    """Quantize with spiq, always anew; the path of the model."""
    path = models / network.name / f"{row}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    config = Config(method=METHODS[row], input_range=network.input_range(), timing=timing)
    spiq.quantize(network.path, config).save(path)
    return path


def refusal(path: Path, image: np.ndarray) -> str:
    """Why onnxruntime does not load the model or run it on an image (C, H, W); "": it does."""
    try:
        opened = session(path, threads=1)
    except ModelError as error:
        return str(error).removeprefix(f"{path}: ")
    try:
        opened.run(None, {opened.get_inputs()[0].name: image[None]})
    except Exception as error:  # the runtime's exceptions share no public base class
        return f"ONNX Runtime cannot run it: {str(error).strip().splitlines()[0]}"
    return ""


def stamp() -> dict[str, str]:
    """When and with what a result was measured."""
    versions = {name: version(name) for name in ("spiq", "onnxruntime", "nncf")}
    cpu = f"{os.cpu_count()} cores of an {_cpu()}"
    made_with = {"commit": _commit(), "sources": _sources()}
    return versions | made_with | {"date": date.today().isoformat(), "cpu": cpu}


def version(name: str) -> str:
    """The version of an installed distribution; "" where it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # Beside its sources, spiq can be used without being installed.
        return spiq.__version__ if name == "spiq" else ""


def _commit() -> str:
    """The last commit of src, "-dirty" behind it where src has been changed since."""
    commit = _git("log", "-1", "--format=%h", "--", "src")
    changes = _git("status", "--porcelain", "--", "src")
    return commit + ("-dirty" if changes else "")


def _sources() -> str:
    """What git calls the content of src/spiq as it lies there, committed, rebased or neither.

    It is that of a commit where `git rev-parse COMMIT:src/spiq` says the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = f"{folder}/index"
        _git("add", "src/spiq", index=index)
        return _git("write-tree", "--prefix=src/spiq", index=index)[:10]


def _git(*command: str, index: str = "") -> str:
    """What git answers; "" where there is no git, or no repository."""
    if shutil.which("git") is None:
        return ""
    environment = os.environ | ({"GIT_INDEX_FILE": index} if index else {})
    ended = subprocess.run(
        ["git", *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    return ended.stdout.strip()


def _cpu() -> str:
    """The class of machine: what decides the speed of int8."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    for flag, name in (("avx512_vnni", "AVX512-VNNI"), ("avx_vnni", "AVX-VNNI"), ("avx2", "AVX2")):
        if flag in flags:
            return f"x86-64 CPU with {name}"
    return f"{platform.machine()} CPU"


WITHOUT_VNNI = "_without_vnni"


def here(name: str) -> str:
    """What the results of a benchmark are called that CPUs with VNNI and without have apart."""
    return name if "VNNI" in _cpu() else name + WITHOUT_VNNI


def load(name: str) -> dict:
    """The results of one benchmark, by network; empty before its first run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def record(name: str, network: str, entry: dict) -> None:
    """Store a network's results beside those of other networks, in place of its old ones."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(load(name) | {network: entry}, indent=2, sort_keys=True)
    part = RESULTS / f"{name}.json.tmp"
    part.write_text(text + "\n")
    part.replace(RESULTS / f"{name}.json")  # whoever is stopped here leaves the old results
