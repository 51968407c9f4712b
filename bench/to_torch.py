"""How far a result in PyTorch is from the same result in ONNX Runtime.

Every stored tensor and every output of each network is compared on real images: of stored tensors
the largest difference in steps of their grids, of outputs in 255ths of their range. With all layers
on integers, and with those in float that are faster there.

Needs `pip install 'spiq[torch]'`.

Usage: python bench/to_torch.py [NETWORK...] [--images 3]

keeps bench/results/to_torch.json, network by network, and prints it.
"""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnx_ir as ir
import torch

import common
from spiq import pipeline
from spiq.config import Config
from spiq.emulation import Network
from spiq.runtime.session import session


def stored_too(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with every tensor of integers among its outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    kept = {output.name for output in model.graph.output}
    names = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    for name in names:
        if name not in kept:
            kind = onnx.TensorProto.UINT8  # the runtime goes by what is stored, not by this
            shown.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    return shown


def measure(network: common.Network, images: int, *, timing: bool) -> dict:
    """Quantize a network, run it in both, and compare."""
    config = Config(input_range=network.input_range(), timing=timing)
    result = pipeline.quantize(network.path, config)
    model = stored_too(onnx.load_from_string(result.model))
    runtime = session(model.SerializeToString())
    module = Network(ir.serde.deserialize_model(model))

    steps, shares, seconds = 0, 0.0, 0.0
    for image in network.images(images):
        wanted = runtime.run(None, {runtime.get_inputs()[0].name: image[None]})
        began = time.process_time()
        with torch.no_grad():
            found = module(torch.from_numpy(image[None]))
        seconds += time.process_time() - began
        for one, other in zip(wanted, found, strict=True):
            apart = np.abs(one.astype(np.float64) - other.numpy()).max()
            if one.dtype == np.float32:
                shares = max(shares, 255 * float(apart / max(np.ptp(one), 1e-12)))
            else:
                steps = max(steps, int(apart))
    layers = [result.report.quantized_layers, len(result.report.layers)]
    return {
        "on_integers": layers,
        "steps": steps,
        "outputs_255ths": round(shares, 4),
        "seconds": round(seconds / images, 2),
    }


def main() -> None:
    parser = common.parser(__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for network in common.select(common.zoo(), given.networks):
        entry = {
            name: measure(network, given.images, timing=timing)
            for name, timing in (("integers", False), ("by time", True))
        }
        common.record("to_torch", network.name, entry | {"images": given.images})
        print(network.name, entry, flush=True)


if __name__ == "__main__":
    main()
