"""Measure everything that the README and docs/results.md claim: what `make bench` runs.

    networks -> peers -> accuracy -> folded -> sweep -> latency -> quantize_time -> tables

Each step is a script of its own, run in a process of its own. Without NNCF its column stays empty.

Usage: python bench/run_all.py [--models DIR] [--quick]

`--quick` tries the whole way with few images, rounds and repeats: its results stay in the folder of
models, and its tables are printed, not written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import common
import networks
import peers

BENCH = Path(__file__).resolve().parent


def steps(models: Path, *, quick: bool) -> list[list[str]]:
    """The command lines, in order."""
    folder = ["--models", str(models)]
    missing = [name for name in networks.TOPOLOGIES if not (models / name / "float.onnx").exists()]
    return [
        *([["networks.py", str(models), *missing]] if missing else []),
        ["peers.py", *folder, *(network.name for network in common.zoo())],
        ["peers.py", *folder, *networks.TOPOLOGIES, "--peers", *peers.OF_ONNXRUNTIME],
        ["accuracy.py", *folder, *(["--limit", "50"] if quick else [])],
        ["folded.py", *folder, *(["--limit", "50"] if quick else [])],
        ["sweep.py", *folder, *(["--limit", "50", "--bits", "W8A8,W4A4"] if quick else [])],
        ["latency.py", *folder, *(["--seconds", "3", "--rounds", "20"] if quick else [])],
        ["quantize_time.py", *folder, *(["--repeats", "1"] if quick else [])],
        ["tables.py", *(["--print"] if quick else [])],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure all that the README claims.")
    parser.add_argument("--models", type=Path, default=common.MODELS, help="default: bench/models")
    parser.add_argument("--quick", action="store_true", help="a few images, rounds and repeats")
    arguments = parser.parse_args()
    quick = {"SPIQ_BENCH_RESULTS": str(arguments.models.resolve() / "quick")}
    environment = os.environ | (quick if arguments.quick else {})
    for script, *options in steps(arguments.models, quick=arguments.quick):
        print(f"== {script} {' '.join(options)}", flush=True)
        done = subprocess.run([sys.executable, BENCH / script, *options], env=environment)
        if done.returncode:
            raise SystemExit(f"{script} failed")


if __name__ == "__main__":
    main()
