"""Quantize networks with other tools, and measure what comes out.

    static          onnxruntime quantize_static: uint8 activations, per-channel int8 weights, MinMax
    dynamic         onnxruntime quantize_dynamic: uint8 weights; BatchNorm stays a float operator
    dynamic_folded  the same after onnxruntime's own pre-processing, which folds BatchNorm: faster,
                    but per-tensor weights then lose whole channels of a depthwise network
    nncf            nncf.quantize with its defaults: fast bias correction

`static` and `nncf` calibrate on the first real images of the network's data set, as their manuals
ask (spiq gets none), after folding BatchNorm, which gives both a better top-1 than without. A
network without a card, as networks.py writes them, gets dead-leaves images.

Usage: python bench/peers.py make OUTDIR NETWORK... [--peers static nncf] [--images 100]
       python bench/peers.py evaluate OUTDIR NETWORK... [--peers static nncf] [--images N]

NETWORK is a folder of the zoo (classification/resnet8-cifar10) or an ONNX file. The zoo is found
through SPIQ_ZOO. `make` writes OUTDIR/<network>/<peer>.onnx; `evaluate` runs one thread and batch
1 and adds to bench/results/peers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization as ortq
from onnxruntime.quantization.shape_inference import quant_pre_process

import networks
from spiq.errors import ModelError
from spiq.runtimes.onnxruntime import session
from spiq.tasks import cards, classification, datasets
from spiq.tasks.preprocess import to_input

ROOT = Path(__file__).resolve().parents[1]
ZOO = Path(os.environ.get("SPIQ_ZOO", ROOT.parent / "shared" / "zoo"))
RESULTS = ROOT / "bench" / "results" / "peers.json"
IMAGES = 100


class _Reader(ortq.CalibrationDataReader):
    """Feeds images one by one, as onnxruntime's calibration wants them."""

    def __init__(self, name: str, images: np.ndarray):
        self.feeds: Iterator[dict[str, np.ndarray]] = iter([{name: x[None]} for x in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next feed, None at the end."""
        return next(self.feeds, None)


def ort_static(float_path: Path, out_path: Path, images: np.ndarray) -> None:
    """Quantize statically with onnxruntime.

    Args:
        float_path: ONNX file of the float network, one input.
        out_path: Where the quantized network goes.
        images: Calibration images, preprocessed, float32 (N, C, H, W).
    """
    ortq.quantize_static(
        folded(float_path),
        out_path,
        _Reader(input_name(float_path), images),
        quant_format=ortq.QuantFormat.QDQ,
        per_channel=True,
        activation_type=ortq.QuantType.QUInt8,
        weight_type=ortq.QuantType.QInt8,
        calibrate_method=ortq.CalibrationMethod.MinMax,
    )


def ort_dynamic(float_path: Path, out_path: Path) -> None:
    """Quantize dynamically with onnxruntime.

    Weights are uint8, the form with a fast kernel, and per tensor: ConvInteger takes no scale per
    channel, so `per_channel=True` changes nothing for convolutions.
    """
    ortq.quantize_dynamic(float_path, out_path, weight_type=ortq.QuantType.QUInt8)


def ort_dynamic_folded(float_path: Path, out_path: Path) -> None:
    """`ort_dynamic` after folding each BatchNorm into its convolution."""
    ortq.quantize_dynamic(folded(float_path), out_path, weight_type=ortq.QuantType.QUInt8)


def nncf_ptq(float_path: Path, out_path: Path, images: np.ndarray) -> None:
    """Quantize with NNCF's defaults; arguments as for `ort_static`."""
    try:
        import nncf
    except ImportError as error:
        raise SystemExit("the peer 'nncf' needs NNCF: pip install 'spiq[bench]'") from error
    name = input_name(float_path)
    dataset = nncf.Dataset(images, lambda image: {name: image[None]})
    onnx.save(nncf.quantize(folded(float_path), dataset, subset_size=len(images)), out_path)


CALIBRATED: dict[str, Callable[[Path, Path, np.ndarray], None]] = {
    "static": ort_static,
    "nncf": nncf_ptq,
}
DYNAMIC: dict[str, Callable[[Path, Path], None]] = {
    "dynamic": ort_dynamic,
    "dynamic_folded": ort_dynamic_folded,
}
PEERS = (*CALIBRATED, *DYNAMIC)


def folded(path: Path) -> onnx.ModelProto:
    """The network after onnxruntime's pre-processing: BatchNorms folded, shapes inferred."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # The symbolic pass gives up on a channel shuffle with a free batch; no CNN here needs it.
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        return onnx.load(prepared)


def input_name(path: Path) -> str:
    return onnx.load(path, load_external_data=False).graph.input[0].name


@dataclass(frozen=True)
class Network:
    """A float network and its task card, None for one with random weights."""

    name: str
    path: Path
    card: cards.Card | None

    def images(self, count: int) -> np.ndarray:
        """The first `count` images as the network's input, float32 (count, C, H, W)."""
        if self.card is None:
            return networks.dead_leaves(count, seed=1)
        stored: list[np.ndarray] = []
        for part in datasets.parts(self.card):
            if sum(map(len, stored)) < count:
                stored.append(np.load(part)["images"])
        return to_input(np.concatenate(stored)[:count], self.card.input)


def find(name: str) -> Network:
    """The network that a command line argument names."""
    path = Path(name)
    if path.suffix == ".onnx":
        return Network(path.stem, path, None)
    card = cards.read(ZOO / path / "zoo.toml")
    return Network(card.name, ZOO / path / "model.onnx", card)


def make(network: Network, folder: Path, peers: Iterable[str], count: int = IMAGES) -> None:
    """Write the peers' models, `folder`/<peer>.onnx."""
    folder.mkdir(parents=True, exist_ok=True)
    images = network.images(count)
    for peer in peers:
        start, path = time.perf_counter(), folder / f"{peer}.onnx"
        if peer in DYNAMIC:
            DYNAMIC[peer](network.path, path)
        else:
            CALIBRATED[peer](network.path, path, images)
        print(f"{network.name:24} {peer:15} {time.perf_counter() - start:6.1f} s", flush=True)


def evaluate(network: Network, models: dict[str, Path], count: int | None = None) -> dict:
    """Measure the float network and `models` (by name); the results, ready for JSON.

    Classification cards give top-1 and the logits' SNR over `count` (None: all) images, others
    the SNR of each output over `count` (None: 50) images. A model that onnxruntime refuses has its
    reason under "error" instead.
    """
    refused: dict = {}
    for name, path in models.items():
        try:
            session(path, threads=1)
        except ModelError as error:
            refused[name] = {"error": str(error).removeprefix(f"{path}: ")}
    usable = {name: path for name, path in models.items() if name not in refused}
    if network.card is not None and network.card.task == "classification":
        return _accuracy(network, usable, count) | refused
    return _output_snr(network, usable, count or 50) | refused


def _accuracy(network: Network, models: dict[str, Path], count: int | None) -> dict:
    paths = [network.path, *models.values()]
    found = classification.evaluate(paths, network.card, limit=count, threads=1, batch=1)
    results: dict = {
        "images": found.images,
        "float": {"top1": round(found.models[0].top1.value, 2)},
    }
    for name, score in zip(models, found.models[1:], strict=True):
        difference = score.comparison.top1_difference
        results[name] = {
            "top1": round(score.top1.value, 2),
            "top1_difference": [
                round(x, 2) for x in (difference.value, difference.low, difference.high)
            ],
            "snr_db": {"logits": round(score.comparison.snr_db, 2)},
        }
    return results


def _output_snr(network: Network, models: dict[str, Path], count: int) -> dict:
    """10 log10(sum ref^2 / sum (ref - x)^2) of each output, sums over all images."""
    reference, feed = session(network.path, threads=1), input_name(network.path)
    others = {name: session(path, threads=1) for name, path in models.items()}
    names = [output.name for output in reference.get_outputs()]
    signal = np.zeros(len(names))
    noise = {peer: np.zeros(len(names)) for peer in models}
    for image in network.images(count):
        exact = [x.astype(np.float64) for x in reference.run(names, {feed: image[None]})]
        signal += [np.square(x).sum() for x in exact]
        for peer, opened in others.items():
            found = opened.run(names, {feed: image[None]})
            noise[peer] += [np.square(x - y).sum() for x, y in zip(exact, found, strict=True)]
    results: dict = {"images": count}
    for peer, sums in noise.items():
        ratios = np.round(10 * np.log10(signal / sums), 2)
        results[peer] = {"snr_db": dict(zip(names, ratios.tolist(), strict=True))}
    return results


def record(name: str, results: dict) -> None:
    """Store a network's results beside those of other networks, in place of its old ones."""
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    stored[name] = results
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")


def table_rows(name: str, results: dict) -> Iterator[str]:
    """Lines of text for one network, one per model."""
    for peer, found in results.items():
        if isinstance(found, dict):
            top1 = f"{found['top1']:6.2f}" if "top1" in found else " " * 6
            ratios = ", ".join(f"{key} {x:.2f}" for key, x in found.get("snr_db", {}).items())
            yield f"{name:24} {peer:15} {top1}  {found.get('error', ratios)}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantize with other tools, and measure.")
    parser.add_argument("command", choices=("make", "evaluate"))
    parser.add_argument("outdir", type=Path, help="folder of the peers' models")
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--images", type=int, help="to calibrate on (100) or evaluate (all)")
    arguments = parser.parse_args()
    for network in map(find, arguments.networks):
        folder = arguments.outdir / network.name
        if arguments.command == "make":
            make(network, folder, arguments.peers, arguments.images or IMAGES)
        else:
            paths = {peer: folder / f"{peer}.onnx" for peer in arguments.peers}
            models = {peer: path for peer, path in paths.items() if path.exists()}
            results = evaluate(network, models, arguments.images)
            record(network.name, results)
            print(*table_rows(network.name, results), sep="\n", flush=True)


if __name__ == "__main__":
    main()
