"""How far moments observed on synthetic pictures are from what BatchNorm states.

    python bench/doubt.py MODEL.onnx=MEAN/STD ...

Each network (BatchNorm kept; MEAN and STD as for --input-mean and --input-std) is observed as if
nothing were stated, and compared with what is: mean and spread of the logarithm of the true
deviation over the one that :func:`spiq.stats.observed.expected` expects, the spread that it tells,
and how far the true means are off, in deviations. Every layer counts alike.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.runtime.observe import observe
from spiq.runtime.unstated import unstated
from spiq.stats.channel import Array
from spiq.stats.inputs.ends import shown_ends
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure

LIVE = 1e-5
"""Share of the layer's variance below which a channel is left out."""


def rows(path: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Iterator[tuple[Array, ...]]:
    """Yield log ratio of deviations, its expected spread and the mean's error, layer by layer."""
    stated = prepare(read(path))
    bare = replace(stated, stated=MappingProxyType({}), norms=())
    known = input_stats(bare, Config(input_mean=mean, input_std=std))[0]
    ends = shown_ends(bare, known)
    found = observe(bare, unstated(bare, measure(bare, known)), ends).stated
    for name, truth in stated.stated.items():
        if name in found:
            seen = found[name]
            live = (truth.var > LIVE * truth.var.mean()) & (seen.var > LIVE * seen.var.mean())
            ratio = 0.5 * np.log(truth.var[live] / seen.var[live])
            doubt = np.broadcast_to(seen.doubt, seen.var.shape)[live]
            yield ratio, doubt, ((truth.mean - seen.mean)[live] / np.sqrt(truth.var[live]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="MODEL.onnx=MEAN/STD")
    print("| network | layers | log ratio, mean | spread | doubt told | means off by |")
    print("|---|---|---|---|---|---|")
    for one in parser.parse_args().networks:
        path, _, numbers = one.rpartition("=")
        mean, std = (tuple(map(float, part.split(","))) for part in numbers.split("/"))
        layers = list(rows(path, mean, std))
        ratio, spread, told, off = (
            np.mean([one for one in figures if np.isfinite(one)])
            for figures in zip(
                *((r.mean(), r.std(), d.mean(), np.sqrt((m**2).mean())) for r, d, m in layers),
                strict=True,
            )
        )
        print(f"| {path} | {len(layers)} | {ratio:.2f} | {spread:.2f} | {told:.2f} | {off:.2f} |")


if __name__ == "__main__":
    main()
