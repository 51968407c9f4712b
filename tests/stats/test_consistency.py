"""Running statistics that contradict what the layers before them imply."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import zoo
from small_networks import bn, build, norm, trained
from spiq.analysis import WARNING, analyse
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.stats.consistency import Factor, factors, pooled, statistics_doubts
from spiq.stats.implied import implied_means
from spiq.stats.inputs.doubted import range_doubts
from spiq.stats.inputs.known import input_stats
from spiq.stats.inputs.moments import infer_moments
from spiq.stats.propagate import Measured, measure

SIZE = "float[N,3,24,24] x"
C = 16

Constants = dict[str, np.ndarray | tuple[int, ...]]


def measured(model: onnx.ModelProto) -> tuple[Prepared, Measured]:
    prepared = prepare(read(model))
    known, _ = input_stats(prepared, Config())
    return prepared, measure(prepared, known)


def doubts(model: onnx.ModelProto) -> list[str]:
    return statistics_doubts(*measured(model))


def network(model: onnx.ModelProto) -> Factor:
    found = pooled(factors(list(implied_means(*measured(model)))))
    assert found is not None
    return found


def spoilt(model: onnx.ModelProto, factor: float, noise: float = 0.0) -> onnx.ModelProto:
    """Return a copy whose running statistics are multiplied, or moved by some deviations."""
    result, rng = onnx.ModelProto(), np.random.default_rng(0)
    result.CopyFrom(model)
    arrays = {tensor.name: tensor for tensor in result.graph.initializer}
    for node in result.graph.node:
        if node.op_type == "BatchNormalization":
            mean, var = (numpy_helper.to_array(arrays[name]) for name in node.input[3:5])
            moved = mean + noise * np.sqrt(var) * rng.standard_normal(len(mean))
            for name, array in zip(node.input[3:5], (moved, var), strict=True):
                new = (factor * array).astype(np.float32)
                arrays[name].CopyFrom(numpy_helper.from_array(new, name))
    return result


def layer(source: str, result: str, *, channels: int = C, inputs: int = C,
          kernel: int = 3) -> tuple[str, Constants]:  # fmt: skip
    """Return a convolution with a BatchNormalization."""
    pads = f"<pads=[{kernel // 2},{kernel // 2},{kernel // 2},{kernel // 2}]>"
    body = f"{result}c = Conv{pads}({source}, {result}w) " + bn(f"{result}c", result)
    shape = (channels, inputs, kernel, kernel)
    return body, {f"{result}w": shape, **norm(result, channels)}


def chain(activation: str) -> onnx.ModelProto:
    """Six layers, an activation behind each, with true statistics."""
    body, constants, source = "", Constants(), "x"
    for index in range(6):
        name = f"l{index}"
        text, own = layer(source, name, inputs=C if index else 3)
        body += text + activation.format(x=name, y=f"{name}a")
        constants |= own
        source = f"{name}a"
    if "six" in activation:
        constants |= {"zero": np.float32(0), "six": np.float32(6)}
    return finished(body + f"y = Identity({source})", constants)


def finished(body: str, constants: Constants) -> onnx.ModelProto:
    return trained(build(body, inputs=SIZE, opset=17, **constants), 16)


def residual() -> onnx.ModelProto:
    """Blocks of a linear bottleneck with residual sums, as in MobileNetV2."""
    text, constants = layer("x", "s", channels=8, inputs=3)
    body, source = text, "s"
    for index in range(4):
        wide, narrow, out = f"e{index}", f"p{index}", f"o{index}"
        first, one = layer(source, wide, channels=24, inputs=8, kernel=1)
        last, two = layer(f"{wide}a", narrow, channels=8, inputs=24)
        body += f"{first}{wide}a = Relu({wide}) {last}{out} = Add({source}, {narrow}) "
        constants |= {**one, **two}
        source = out
    return finished(body + f"y = Identity({source})", constants)


def squeezed() -> onnx.ModelProto:
    """Blocks with SiLU, and squeeze and excitation before a projection."""
    text, constants = layer("x", "s", channels=8, inputs=3)
    body, source = text, "s"
    for index in range(4):
        wide, narrow, i = f"e{index}", f"p{index}", index
        first, one = layer(source, wide, channels=24, inputs=8)
        last, two = layer(f"m{i}", narrow, channels=8, inputs=24, kernel=1)
        body += (
            f"{first}g{i} = Sigmoid({wide}) {wide}a = Mul({wide}, g{i}) "
            f"q{i} = GlobalAveragePool({wide}a) h{i} = Conv(q{i}, v{i}) u{i} = Sigmoid(h{i}) "
            f"m{i} = Mul({wide}a, u{i}) {last}"
        )
        constants |= {**one, **two, f"v{i}": (24, 24, 1, 1)}
        source = narrow
    return finished(body + f"y = Identity({source})", constants)


def dense() -> onnx.ModelProto:
    """Pre-activation with concatenation, as in DenseNet: most BatchNormalizations stay."""
    body, constants = "f0 = Conv<pads=[1,1,1,1]>(x, w0) ", Constants(w0=(12, 3, 3, 3))
    width = 12
    for index in range(1, 6):
        before, pre = f"f{index - 1}", f"b{index}"
        middle, own = layer(f"{pre}a", f"m{index}", channels=24, inputs=width, kernel=1)
        body += (
            bn(before, pre) + f"{pre}a = Relu({pre}) {middle}r{index} = Relu(m{index}) "
            f"c{index} = Conv<pads=[1,1,1,1]>(r{index}, w{index}) "
            f"f{index} = Concat<axis=1>({before}, c{index}) "
        )
        constants |= {**norm(pre, width), **own, f"w{index}": (12, 24, 3, 3)}
        width += 12
    body += bn(f"f{index}", "y")
    return finished(body, {**constants, **norm("y", width)})


NETWORKS = {
    "relu": lambda: chain("{y} = Relu({x}) "),
    "relu6": lambda: chain("{y} = Clip({x}, zero, six) "),
    "leaky": lambda: chain("{y} = LeakyRelu<alpha=0.1>({x}) "),
    "hardswish": lambda: chain("{y} = HardSwish({x}) "),
    "silu": lambda: chain("{x}g = Sigmoid({x}) {y} = Mul({x}, {x}g) "),
    "residual": residual,
    "squeezed": squeezed,
    "dense": dense,
}


@pytest.fixture(scope="module", params=NETWORKS)
def healthy(request: pytest.FixtureRequest) -> onnx.ModelProto:
    model: onnx.ModelProto = NETWORKS[request.param]()
    return model


def test_true_statistics_are_not_doubted(healthy: onnx.ModelProto) -> None:
    assert doubts(healthy) == []
    assert abs(network(healthy).value - 1) < 0.05


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.15])
def test_the_factor_is_found(healthy: onnx.ModelProto, factor: float) -> None:
    [sentence] = doubts(spoilt(healthy, factor))
    assert sentence.startswith("running statistics look spoilt")
    assert "training mode" in sentence and "Conv '" in sentence
    assert network(spoilt(healthy, factor)).value == pytest.approx(factor, abs=0.05)


def test_scattered_means_are_out_of_date(healthy: onnx.ModelProto) -> None:
    [sentence] = doubts(spoilt(healthy, 1.0, noise=0.5))
    assert sentence.startswith("running statistics look out of date")


def test_statistics_that_were_never_updated_are_doubted() -> None:
    model = chain("{y} = Relu({x}) ")
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_m"):
            zeros = np.zeros_like(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(zeros, tensor.name))
    assert doubts(model)


def test_linear_layers_are_exact() -> None:
    """Behind sums of BatchNormalizations, nothing depends on the shape of a distribution."""
    layers = factors(list(implied_means(*measured(spoilt(residual(), 0.97)))))
    exact = [found for found in layers if "e" in found.where.split("'")[1]]
    assert len(exact) == 4
    np.testing.assert_allclose([found.value for found in exact], 0.97, atol=0.005)


def test_a_bias_in_front_of_the_batchnorm_is_part_of_the_mean() -> None:
    model = chain("{y} = Relu({x}) ")
    rng = np.random.default_rng(1)
    for node in model.graph.node:
        if node.op_type == "Conv":
            name = f"{node.input[1]}_bias"
            array = rng.standard_normal(C).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
            node.input.append(name)
    model = trained(model, 16)
    assert doubts(model) == []
    assert network(spoilt(model, 0.9)).value == pytest.approx(0.9, abs=0.05)


def test_activation_in_front_of_the_batchnorm_says_nothing_false() -> None:
    body, constants, source = "", Constants(), "x"
    for index in range(5):
        n = f"n{index}"
        body += f"c{n} = Conv<pads=[1,1,1,1]>({source}, w{n}) r{n} = Relu(c{n}) " + bn(f"r{n}", n)
        constants |= {f"w{n}": (C, C if index else 3, 3, 3), **norm(n, C)}
        source = n
    assert doubts(finished(body + f"y = Identity({source})", constants)) == []


def test_networks_that_say_too_little_are_left_alone() -> None:
    text, constants = layer("x", "s", inputs=3)
    model = finished(text + "y = Relu(s)", constants)
    assert doubts(model) == doubts(spoilt(model, 0.5)) == []
    assert pooled([]) is None


def test_another_range_than_the_first_layers_saw_is_doubted() -> None:
    model = chain("{y} = Relu({x}) ")
    for config, wrong in (
        (Config(input_range=((0, 255),)), True),
        (Config(input_range=((0, 1),)), True),
        (Config(input_range=((-2.118, 2.64),)), False),
    ):
        prepared = prepare(read(model))
        sentences = range_doubts(prepared, input_stats(prepared, config)[0])
        assert bool(sentences) == wrong
        assert all("first layers were trained on" in sentence for sentence in sentences)


def test_doubts_are_among_the_notes() -> None:
    model = chain("{y} = Relu({x}) ")
    config = Config(input_range=((0, 255),))
    for given, settings, count in (
        (model, Config(), 0),
        (spoilt(model, 0.8), Config(), 1),
        (spoilt(model, 0.8), config, 2),
    ):
        notes = analyse(read(given), settings).notes
        assert sum(note.startswith(WARNING) for note in notes) == count


@pytest.mark.zoo
@pytest.mark.parametrize("path", zoo.models(), ids=lambda p: p.parent.name if p else "none")
def test_networks_of_the_zoo(path: Path | None) -> None:
    path = path or zoo.folder()
    model = onnx.load(path)
    assert doubts(model) == []
    [sentence] = doubts(spoilt(model, 0.9))
    assert "spoilt" in sentence
    assert network(spoilt(model, 0.9)).value == pytest.approx(0.9, abs=0.03)
    prepared = prepare(read(model))
    if infer_moments(prepared.model.graph.inputs[0], prepared) is None:
        return  # the first layer has no BatchNorm that could contradict
    for ends in ((-1000.0, 3000.0), (-1e-5, 1e-5)):
        known, _ = input_stats(prepared, Config(input_range=(ends,)))
        assert range_doubts(prepared, known)
