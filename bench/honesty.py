"""How far the SNR that spiq reports is from the one on real images.

    python bench/honesty.py MODEL.onnx=IMAGES.npy ...

IMAGES.npy holds images as the network takes them, (N, C, H, W) or (N, H, W, C), float32. Each
network is quantized with the defaults, and both it and the float one run on them, one at a time;
the truth is 10 log10(sum (r - mean r)^2 / sum (r - y)^2) over all images. The shift that suits the
other networks is told for each, and what would be left of the difference with it: all files whose
names begin alike up to the first dot are one network.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import spiq
from spiq.runtime.session import session
from spiq.runtime.snr import Energy


@dataclass(frozen=True)
class Row:
    """An output: what is reported of it, and what is true."""

    network: str
    output: str
    reported: float
    low: float
    high: float
    true: float

    @property
    def off(self) -> float:
        """By how much the report is too high."""
        return self.reported - self.true


def rows(model: Path, images: Path, *, timing: bool) -> Iterator[Row]:
    """Quantize a network, and yield its outputs."""
    result = spiq.quantize(str(model), spiq.Config(timing=timing))
    before, after = session(str(model)), session(result.model)
    (name,) = (given.name for given in before.get_inputs())
    outputs = list(result.report.snr_db)
    sums = dict.fromkeys(outputs, Energy())
    for image in np.load(images):
        answers = (one.run(outputs, {name: image[None]}) for one in (before, after))
        for output, expected, actual in zip(outputs, *answers, strict=True):
            sums[output] += Energy.of(expected, actual)
    for output, energy in sums.items():
        low, high = result.report.snr_interval_db[output]
        yield Row(model.stem, output, result.report.snr_db[output], low, high, energy.db)


def left_out(found: list[Row]) -> np.ndarray:
    """Return each row's difference with the shift that suits all other networks."""
    names = np.array([row.network.split(".")[0] for row in found])
    off = np.array([row.off for row in found])
    return np.array(
        [one - np.median(off[names != name]) for one, name in zip(off, names, strict=True)]
    )


def main() -> None:
    """Print the table and what it comes to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="MODEL.onnx=IMAGES.npy")
    parser.add_argument("--no-timing", action="store_true", help="give nothing back to float")
    arguments, found = parser.parse_args(), list[Row]()
    print("| network | output | true | reported | warns |\n|---|---|--:|--:|---|", flush=True)
    for one in arguments.networks:
        for row in rows(*map(Path, one.rsplit("=", 1)), timing=not arguments.no_timing):
            interval = f"{row.reported:.1f} ({row.low:.0f} to {row.high:.0f})"
            warns = "yes" if row.low < 10 else ""
            print(
                f"| {row.network} | {row.output} | {row.true:.1f} | {interval} | {warns} |",
                flush=True,
            )
            found.append(row)
    inside = np.mean([row.low <= row.true <= row.high for row in found])
    for what, off in ("as reported", [r.off for r in found]), ("left out", left_out(found)):
        median, most = np.quantile(np.abs(off), (0.5, 0.9))
        print(f"{what}: {median:.1f} dB off in the median, {most:.1f} dB in nine of ten")
    print(f"{100 * inside:.0f} % inside their intervals")


if __name__ == "__main__":
    main()
