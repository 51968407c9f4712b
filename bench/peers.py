"""Quantize networks with other tools.

    ort_static          onnxruntime quantize_static: uint8 activations, per-channel int8 weights,
                        MinMax
    ort_dynamic         onnxruntime quantize_dynamic: uint8 weights; BatchNorm stays in float
    ort_dynamic_folded  the same after onnxruntime's own pre-processing, which folds BatchNorm:
                        faster, but per-tensor weights then lose whole channels of a depthwise
                        network
    nncf                nncf.quantize with its defaults: fast bias correction

`ort_static` and `nncf` calibrate on the first 100 real images of the network's data set, as their
manuals ask (spiq gets none), after folding BatchNorm, which gives both a better top-1 than without.
A network with random weights gets dead-leaves images.

Usage: python bench/peers.py [NETWORK...] [--models DIR] [--peers ort_static nncf] [--force]
writes DIR/<network>/<peer>.onnx where it is missing.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization as ortq
from onnxruntime.quantization.shape_inference import quant_pre_process

import common

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
        _folded(float_path),
        out_path,
        _Reader(_input_name(float_path), images),
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
    ortq.quantize_dynamic(_folded(float_path), out_path, weight_type=ortq.QuantType.QUInt8)


def nncf_ptq(float_path: Path, out_path: Path, images: np.ndarray) -> None:
    """Quantize with NNCF's defaults; arguments as for `ort_static`."""
    import nncf

    name = _input_name(float_path)
    dataset = nncf.Dataset(images, lambda image: {name: image[None]})
    onnx.save(nncf.quantize(_folded(float_path), dataset, subset_size=len(images)), out_path)


CALIBRATED: dict[str, Callable[[Path, Path, np.ndarray], None]] = {
    "ort_static": ort_static,
    "nncf": nncf_ptq,
}
DYNAMIC: dict[str, Callable[[Path, Path], None]] = {
    "ort_dynamic": ort_dynamic,
    "ort_dynamic_folded": ort_dynamic_folded,
}
PEERS = (*CALIBRATED, *DYNAMIC)
OF_ONNXRUNTIME = tuple(peer for peer in PEERS if peer.startswith("ort_"))


def _folded(path: Path) -> onnx.ModelProto:
    """The network after onnxruntime's pre-processing: BatchNorms folded, shapes inferred."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # The symbolic pass gives up on a channel shuffle with a free batch; no CNN here needs it.
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        return onnx.load(prepared)


def _input_name(path: Path) -> str:
    """The input that wants images: older files list their weights as inputs, too."""
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return next(value.name for value in graph.input if value.name not in weights)


def make(
    network: common.Network, models: Path, peers: Iterable[str] = PEERS, *, force: bool = False
) -> dict[str, Path]:
    """Write the peers' models that are missing (`force`: all).

    Returns:
        The path of each model, without nncf's where NNCF is not installed.
    """
    paths = {peer: models / network.name / f"{peer}.onnx" for peer in peers}
    missing = [peer for peer, path in paths.items() if force or not path.exists()]
    if "nncf" in missing and importlib.util.find_spec("nncf") is None:
        missing.remove("nncf")
        if not paths["nncf"].exists():
            print(f"{network.name:24} nncf: not installed: pip install 'spiq[bench]'", flush=True)
            del paths["nncf"]
    images = network.images(IMAGES) if set(missing) & set(CALIBRATED) else None
    for peer in missing:
        start = time.perf_counter()
        paths[peer].parent.mkdir(parents=True, exist_ok=True)
        part = paths[peer].with_suffix(".tmp")  # what an interrupted run leaves is no model
        if peer in DYNAMIC:
            DYNAMIC[peer](network.path, part)
        else:
            CALIBRATED[peer](network.path, part, images)
        part.replace(paths[peer])
        print(f"{network.name:24} {peer:18} {time.perf_counter() - start:6.1f} s", flush=True)
    return paths


def main() -> None:
    parser = common.parser("Quantize with other tools.")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--force", action="store_true", help="also what is there already")
    arguments = parser.parse_args()
    for network in common.select(common.everything(arguments.models), arguments.networks):
        make(network, arguments.models, arguments.peers, force=arguments.force)


if __name__ == "__main__":
    main()
