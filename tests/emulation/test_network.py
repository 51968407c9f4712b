"""A quantized network in PyTorch is the one in ONNX."""

import copy
import pickle
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

import spiq
import zoo
from small_modules import nn, torch
from small_networks import bn, build, norm, trained
from spiq import Config, Quantized
from spiq.emulation import Network
from spiq.errors import ConfigError, UnsupportedError
from spiq.runtime import layerwise
from spiq.runtime.session import session
from spiq.runtime.synthetic import soft_pictures


@pytest.fixture(scope="module")
def result() -> Quantized:
    body = f"""
        c = Conv<pads=[1,1,1,1]>(x, w) {bn("c", "n")} r = Relu(n)
        d = Conv<pads=[1,1,1,1]>(r, v) {bn("d", "m")}
        s = Add(m, r) p = GlobalAveragePool(s) f = Flatten(p) y = Gemm<transB=1>(f, h, b)
    """
    shapes = {"w": (8, 3, 3, 3), "v": (8, 8, 3, 3), "h": (5, 8), "b": (5,)}
    return spiq.quantize(trained(build(body, **shapes, **norm("n", 8), **norm("m", 8))))


def image(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def apart(quantized: bytes) -> dict[str, int]:
    """Return how many steps each stored tensor is away from the runtime's, given those before."""
    proto = onnx.load_from_string(quantized)
    inputs = soft_pictures(session(quantized), ends(proto), number=0)
    stored = layerwise._expose_stored(proto)
    actual = layerwise.stored_tensors(proto, stored, inputs, {"lean": False, "signed": False})
    cut = Network(ir.serde.deserialize_model(layerwise._cut(proto, actual)))
    given = {**inputs, **{layerwise._entry(name): array for name, array in actual.items()}}
    found = cut(**{name: torch.from_numpy(array) for name, array in given.items()})
    computed = dict(zip(cut.output_names, found, strict=True))
    return {
        name: int(np.abs(computed[name].numpy().astype(int) - actual[name]).max())
        for name in stored
    }


def ends(proto: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the range of each input: that of its own grid."""
    arrays = {held.name: numpy_helper.to_array(held) for held in proto.graph.initializer}
    found = {value.name: (np.float32(0), np.float32(1)) for value in proto.graph.input}
    for node in proto.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in found:
            step, zero = arrays[node.input[1]], int(arrays[node.input[2]])
            found[node.input[0]] = (-zero * step, (255 - zero) * step)
    return found


def test_each_layer_is_within_two_steps(result: Quantized) -> None:
    steps = apart(result.model)
    assert steps
    assert max(steps.values()) <= 2


def test_outputs_are_those_of_the_runtime(result: Quantized) -> None:
    (expected,) = result.run({"x": image().numpy()}).values()
    found = result.to_torch()(image())
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        Config(method="dynamic"),
        Config(weight_bits=4, activation_bits=6),
        Config(method="spiq-paper"),
        Config(target="portable"),
    ],
    ids=["dynamic", "few bits", "one scale per channel", "portable"],
)
def test_other_options(config: Config) -> None:
    body = f"c = Conv(x, w) {bn('c', 'n')} r = Relu(n) y = Conv(r, v)"
    model = trained(build(body, w=(8, 3, 3, 3), v=(4, 8, 3, 3), **norm("n", 8, spread=20.0)))
    quantized = spiq.quantize(model, config)
    (expected,) = quantized.run({"x": image().numpy()}).values()
    found = quantized.to_torch()(image())
    np.testing.assert_allclose(found.numpy(), expected, atol=0.05 * expected.std())


def test_called_in_order_or_by_name(result: Quantized) -> None:
    network = result.to_torch()
    assert (network.input_names, network.output_names) == (("x",), ("y",))
    assert torch.equal(network(image()), network(x=image()))
    for args, named in (((), {}), ((image(), image()), {}), ((image(),), {"x": image()})):
        with pytest.raises(ConfigError, match="give 1, x"):
            network(*args, **named)


def test_it_is_a_module_like_any_other(result: Quantized) -> None:
    network = result.to_torch()
    expected = network(image())
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), network.train()):
        assert torch.equal(other(image()), expected)
    assert not list(network.parameters())
    assert any(held.dtype == torch.int8 for held in network.buffers())
    meta = copy.deepcopy(network).to("meta")
    assert meta(image().to("meta")).shape == expected.shape


def test_numbers_that_operators_ask_for_stay_where_nothing_waits_for_them() -> None:
    """On a device without any numbers, asking for one raises."""
    model = build(
        'p = Pad(x, pads, fill) c = Clip(p, low, high) y = Resize<mode="linear">(c, , scales)',
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        scales=np.array([1, 1, 2, 2], np.float32),
        fill=np.array(0.5, np.float32),
        low=np.array(0.0, np.float32),
        high=np.array(6.0, np.float32),
    )
    network = Network(ir.serde.deserialize_model(model)).to("meta")
    assert network(torch.zeros(2, 3, 16, 16, device="meta")).shape == (2, 3, 36, 36)


def test_numbers_that_others_read_too_go_along() -> None:
    model = build("c = Clip(x, high) y = Mul(c, high)", high=np.array(-1.0, np.float32))
    network = Network(ir.serde.deserialize_model(model))
    assert len(list(network.buffers())) == 1


def test_autocast_changes_nothing(result: Quantized) -> None:
    network = result.to_torch()
    expected = network(image())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(image()), expected)


def test_gradients_pass_straight_through_where_asked(result: Quantized) -> None:
    x = image().requires_grad_()
    result.to_torch()(x).sum().backward()
    assert not x.grad.any()
    x.grad = None
    result.to_torch(differentiable=True)(x).sum().backward()
    assert x.grad.any()


def test_the_gradient_is_that_of_the_float_network() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3).eval()
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    model = build("y = Conv(x, w, b)", w=weight, b=bias)
    config = Config(input_range=((-6.0, 6.0),))
    network = spiq.quantize(model, config).to_torch(differentiable=True)
    ours, theirs = image().requires_grad_(), image().requires_grad_()
    direction = torch.randn(2, 4, 14, 14)
    (network(ours) * direction).sum().backward()
    (conv(theirs) * direction).sum().backward()
    error = (ours.grad - theirs.grad).square().mean() / theirs.grad.square().mean()
    assert error < 1e-3


def test_all_operators_that_are_not_computed_are_named() -> None:
    body = "a = Conv(x, w) b = Hardmax(a) c = Hardmax(b) y = Conv(c, v)"
    result = spiq.quantize(build(body, w=(4, 3, 3, 3), v=(4, 4, 1, 1)))
    with pytest.raises(UnsupportedError, match="Hardmax 'b', Hardmax 'c': use result") as caught:
        result.to_torch()
    assert "\n" not in str(caught.value)


@pytest.mark.zoo
@pytest.mark.parametrize("path", zoo.models(), ids=lambda path: path.parent.name if path else "")
def test_networks_of_the_zoo_layer_by_layer(path: Path | None) -> None:
    if path is None:
        zoo.folder()
    steps = apart(spiq.quantize(path).model)
    assert max(steps.values()) <= 2, max(steps.items(), key=lambda item: item[1])


@pytest.mark.parametrize(
    ("target", "bits"), [("tensorrt", 8), ("vitis", 8), ("qnn", 8), ("qnn", 16)]
)
def test_networks_for_other_runtimes_compute_what_is_written(target: str, bits: int) -> None:
    body = f"c = Conv<pads=[1,1,1,1]>(x, w) {bn('c', 'n')} r = Relu(n) y = Conv(r, v)"
    model = trained(build(body, w=(8, 3, 3, 3), v=(4, 8, 1, 1), **norm("n", 8, spread=4)))
    made = spiq.quantize(model, Config(target=target, activation_bits=bits, timing=False))
    batch = 1 if target == "qnn" else 2
    (meant,) = session(made.model, optimize=False).run(["y"], {"x": image(batch).numpy()})
    np.testing.assert_allclose(made.to_torch()(image(batch)).numpy(), meant, atol=1e-4)
