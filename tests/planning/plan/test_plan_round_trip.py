"""Plan, save, load, apply: the same bytes as all at once, whatever the network and the options."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import zoo
from small_networks import bn, build, floats, norm, trained, whole
from spiq import Config, Plan, apply, plan, quantize
from spiq.methods import METHODS

STEM = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r] r = Relu(n1) "
OTHER = "[c2] c2 = Conv<pads=[1,1,1,1]>(x, w2) " + bn("c2", "n2")
HEAD = "[o] y = Conv(m, wo)"
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 3, 3, 3), "w3": (8, 8, 3, 3), "wo": (4, 8, 1, 1)}

BODIES: dict[str, tuple[str, dict[str, object]]] = {
    "residual adds": (
        f"{STEM}[c3] c3 = Conv<pads=[1,1,1,1]>(r, w3) {bn('c3', 'n3')}[a] a = Add(n3, r) "
        f"[q] q = Relu(a) [c4] c4 = Conv<pads=[1,1,1,1]>(q, w3) [b] m = Add(c4, q) {HEAD}",
        norm("n3", 8),
    ),
    "concat": (
        f"{STEM}{OTHER}[k] k = Concat<axis=1>(r, n2) {bn('k', 'n3')}[q] m = Relu(n3) {HEAD}",
        {"wo": (4, 16, 1, 1), **norm("n3", 16)},
    ),
    "channel shuffle": (
        f"{STEM}[s1] s = Reshape(r, s5) [t] t = Transpose<perm=[0,2,1,3,4]>(s) "
        f"[s2] m = Reshape(t, s4) {HEAD}",
        {"s5": whole(0, 2, 4, 16, 16), "s4": whole(0, 8, 16, 16)},
    ),
    "depthwise": (
        f"{STEM}[d] d = Conv<group=8, pads=[1,1,1,1]>(r, wd) {bn('d', 'n3')}[q] m = Relu(n3) "
        f"{HEAD}",
        {"wd": (8, 1, 3, 3), **norm("n3", 8)},
    ),
    "SiLU": (f"{STEM}[c3] c3 = Conv(r, w3) [s] s = Sigmoid(c3) [g] m = Mul(c3, s) {HEAD}", {}),
    "ReLU6": (
        f"{STEM}[c3] c3 = Conv<pads=[1,1,1,1]>(r, w3) {bn('c3', 'n3')}[k] k = Clip(n3, lo, hi) "
        f"[a] m = Add(k, r) {HEAD}",
        {"lo": np.float32(0), "hi": np.float32(6), **norm("n3", 8)},
    ),
    "PReLU": (
        f"{STEM}[c3] c3 = Conv(r, w3) {bn('c3', 'n3')}[p] m = PRelu(n3, slope) {HEAD}",
        {"slope": np.full((8, 1, 1), 0.25, np.float32), **norm("n3", 8)},
    ),
    "float between": (f"{STEM}[t] t = Tanh(r) [u] m = Mul(t, two) {HEAD}", {"two": floats(2)}),
    "gemm": (
        f"{STEM}[g] g = GlobalAveragePool(r) [f] f = Flatten(g) [h] h = Gemm<transB=1>(f, wg, bg) "
        "[q] q = Relu(h) [o] y = Gemm<transB=1>(q, wh)",
        {"wg": (6, 8), "bg": (6,), "wh": (5, 6)},
    ),
}

CONFIGS: dict[str, Config] = {
    "W8A8": Config(),
    "W4A6": Config(weight_bits=4, activation_bits=6),
    "first and last": Config(weight_bits=4, activation_bits=4, first_last_bits=8),
    "excluded": Config(exclude=("o",)),
    "portable": Config(target="portable"),
    "16 bits": Config(target="qnn", activation_bits=16),
    "input": Config(input_mean=(0.5,), input_std=(0.2,)),
    "input by channel": Config(input_range=((-1, 1), (0, 2), (-3, 0))),
}


def network(name: str) -> onnx.ModelProto:
    body, constants = BODIES[name]
    given = SHAPES | norm("n1", 8, spread=20) | norm("n2", 8) | constants
    used = {key: array for key, array in given.items() if key in body or key[:2] in body}
    return trained(build(body, **used))  # type: ignore[arg-type]


def round_trip(model: onnx.ModelProto | Path, config: Config, folder: Path) -> None:
    at_once = quantize(model, config)
    path = folder / "plan.json"
    path.write_text(plan(model, config).to_json(), encoding="utf-8")
    loaded = Plan.load(path)
    assert loaded == at_once.plan
    assert loaded.to_json() == path.read_text(encoding="utf-8")
    applied = apply(model, loaded)
    assert applied.model == at_once.model
    assert applied.plan == loaded
    assert applied.report.snr_db == at_once.report.snr_db
    assert applied.report.layers == at_once.report.layers


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("body", BODIES)
def test_small_networks(body: str, config: str, tmp_path: Path) -> None:
    round_trip(network(body), CONFIGS[config], tmp_path)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"spiq"}))
@pytest.mark.parametrize("body", BODIES)
def test_other_methods(body: str, method: str, tmp_path: Path) -> None:
    round_trip(network(body), Config(method=method), tmp_path)


@pytest.mark.parametrize("body", BODIES)
def test_tensors_that_name_another_say_the_same(body: str) -> None:
    tensors = plan(network(body)).tensors
    for name, entry in tensors.items():
        if entry.grid_of is not None:
            assert list(tensors).index(entry.grid_of) < list(tensors).index(name)
            said = tensors[entry.grid_of]
            assert (said.bits, said.zero) == (entry.bits, entry.zero)
        if entry.scale_of is not None:
            assert tensors[entry.scale_of].alpha == entry.alpha


NETWORKS = (
    "classification/mobilenetv1-0.25",
    "classification/resnet8-cifar10",
    "detection/fastestdet",
)


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_zoo(name: str, tmp_path: Path) -> None:
    round_trip(zoo.model(name), Config(), tmp_path)
