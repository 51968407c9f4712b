"""What each target takes, seen on the graph that is emitted for it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_networks import bn, build, norm, trained
from spiq import Config, Quantized, quantize
from spiq.errors import ConfigError, PlanError
from spiq.pipeline import apply
from spiq.targets import TARGETS, of_this_machine

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")

OTHERS = [name for name in TARGETS if name != "onnxruntime"]


def network(opset: int = 17) -> onnx.ModelProto:
    """A residual block whose channels differ, a depthwise convolution, pools and a classifier."""
    body = (
        "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) " + bn("c1", "n1") + "[r1] r1 = Relu(n1) "
        "[c2] c2 = Conv<pads=[1,1,1,1]>(r1, w2) "
        + bn("c2", "n2")
        + "[r2] r2 = Clip(n2, zero, six) "
        "[c3] c3 = Conv<pads=[1,1,1,1], group=8>(r2, w3) " + bn("c3", "n3") + "[a] a = Add(n3, r1) "
        "[r3] r3 = Relu(a) [c4] c4 = Conv(r3, w4) [p] p = GlobalAveragePool(c4) "
        "[f] f = Flatten(p) [g] y = Gemm<transB=1>(f, w5, b5)"
    )
    weights = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 1, 3, 3), "w4": (8, 8, 1, 1)}
    numbers = {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
    norms = norm("n1", 8, spread=4) | norm("n2", 8, spread=4) | norm("n3", 8)
    head = {"w5": (5, 8), "b5": np.zeros(5, np.float32)}
    return trained(build(body, opset=opset, **weights, **numbers, **norms, **head))


@pytest.fixture(scope="module")
def float_network() -> onnx.ModelProto:
    return network()


@pytest.fixture(scope="module", params=list(TARGETS))
def made(request: pytest.FixtureRequest, float_network: onnx.ModelProto) -> Quantized:
    return quantize(float_network, Config(target=request.param, timing=False))


class Emitted:
    """An emitted graph: its conversions of activations, weights and biases."""

    def __init__(self, result: Quantized) -> None:
        self.target = TARGETS[result.plan.target]
        self.graph = onnx.load_from_string(result.model).graph
        self.arrays = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self.made = {name: node for node in self.graph.node for name in node.output}

    def conversions(self, *, constant: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield scale and zero point of what reads or writes constants, or everything else."""
        for node in self.graph.node:
            if node.op_type in CONVERSIONS and (node.input[0] in self.arrays) == constant:
                yield self.arrays[node.input[1]], self.arrays[node.input[2]]

    def sources(self, node: onnx.NodeProto) -> list[str]:
        """Return the operators that a node reads, through those behind which nothing is stored."""
        found = []
        for name in node.input:
            above = self.made.get(name)
            while above is not None and above.op_type in self.target.carried:
                above = self.made.get(above.input[0])
            found += [] if above is None else [above.op_type]
        return found


@pytest.fixture(scope="module")
def emitted(made: Quantized) -> Emitted:
    return Emitted(made)


def test_activations_have_one_scale_and_the_targets_integers(emitted: Emitted) -> None:
    form = emitted.target.grids
    found = list(emitted.conversions(constant=False))
    assert found
    for scale, zero in found:
        around_zero = form.signed or (form.centred and zero == 0 and zero.dtype == np.int8)
        assert (scale.shape, zero.dtype) == ((), np.dtype("int8" if around_zero else "uint8"))
        assert not (form.centred and zero == 128)


def test_zero_is_in_the_middle_where_the_target_is_symmetric(emitted: Emitted) -> None:
    zeros = {int(zero) for _, zero in emitted.conversions(constant=False)}
    assert (zeros == {0}) == emitted.target.grids.symmetric


def test_steps_are_powers_of_two_where_the_target_wants_them(emitted: Emitted) -> None:
    for constant in (False, True):
        scales = np.concatenate([s.reshape(-1) for s, _ in emitted.conversions(constant=constant)])
        exact = np.log2(scales) == np.rint(np.log2(scales))
        assert exact.all() == emitted.target.grids.powers_of_two


def test_weights_are_symmetric_with_a_step_for_each_channel_or_one(emitted: Emitted) -> None:
    weights = [(s, z) for s, z in emitted.conversions(constant=True) if z.dtype == np.int8]
    assert weights and not any(zero.any() for _, zero in weights)
    assert all((scale.shape == ()) != emitted.target.weights.per_channel for scale, _ in weights)


def test_biases_are_as_wide_as_the_target_says(emitted: Emitted) -> None:
    biases = [node.input[2] for node in emitted.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(biases) == 5
    for name in biases:
        read = emitted.made.get(name)
        stored = emitted.arrays[name if read is None else read.input[0]].dtype
        bits = 0 if stored.kind == "f" else stored.itemsize * 8
        assert bits == emitted.target.weights.bias_bits


def test_tensorrt_reads_int8_alone(float_network: onnx.ModelProto) -> None:
    graph = Emitted(quantize(float_network, Config(target="tensorrt", timing=False)))
    read = [node for node in graph.graph.node if node.op_type == "DequantizeLinear"]
    assert read and all(graph.arrays[node.input[2]].dtype == np.int8 for node in read)


@pytest.mark.parametrize("name", ["tensorrt", "vitis"])
def test_grids_are_clipped_by_no_operator_on_integers(name: str) -> None:
    with pytest.raises(ConfigError, match=f"activation_bits is 6, and target {name} takes 8"):
        Config(target=name, activation_bits=6)
    with pytest.raises(ConfigError, match=f"first_last_bits is 4, and target {name} takes 8"):
        Config(target=name, first_last_bits=4)
    with pytest.raises(ConfigError, match="activation_bits is 6, and target qnn takes 8 or 16"):
        Config(target="qnn", activation_bits=6)


def test_nothing_multiplies_by_channel_scales_unless_the_target_says_so(emitted: Emitted) -> None:
    multiplied = any(node.op_type in ("Mul", "Einsum") for node in emitted.graph.node)
    assert not multiplied or emitted.target.factors


def test_every_layer_reads_integers(emitted: Emitted) -> None:
    layers = [node for node in emitted.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 5
    assert all(set(emitted.sources(node)) == {"DequantizeLinear"} for node in layers)


@pytest.mark.parametrize("name", OTHERS)
def test_signal_is_near_the_default_targets(name: str, float_network: onnx.ModelProto) -> None:
    usual, other = (
        quantize(float_network, Config(target=target, timing=False)).report.snr_db["y"]
        for target in ("onnxruntime", name)
    )
    # by a bit of what ReLUs give, the last result, weights of one step
    lost = {"tensorrt": 7, "qnn": 5, "vitis": 16}
    assert other > usual - lost.get(name, 2)


@pytest.mark.parametrize("name", ["tensorrt", "openvino"])
def test_a_sums_shortcut_is_read_from_integers_and_the_layer_in_float(
    name: str, float_network: onnx.ModelProto
) -> None:
    graph = Emitted(quantize(float_network, Config(target=name, timing=False)))
    added = next(node for node in graph.graph.node if node.op_type == "Add")
    assert sorted(graph.sources(added)) == ["Conv", "DequantizeLinear"]


def test_tensorrt_has_no_conversion_behind_a_layer(float_network: onnx.ModelProto) -> None:
    graph = Emitted(quantize(float_network, Config(target="tensorrt", timing=False)))
    written = [n for n in graph.graph.node if n.op_type == "QuantizeLinear"]
    behind = [graph.made[n.input[0]].op_type for n in written if n.input[0] in graph.made]
    assert behind.count("Relu") == 3 and "Add" not in behind


POOLED = """[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [r1] r1 = Relu(c1)
            [p] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1) [c2] y = Conv(p, w2)"""


def before_the_pool(name: str, more: str = "", outputs: str = "y") -> list[str]:
    """Return what a target's pool reads."""
    model = build(POOLED + more, outputs=outputs, w1=(8, 3, 3, 3), w2=(4, 8, 1, 1))
    graph = Emitted(quantize(model, Config(target=name, timing=False)))
    return graph.sources(next(node for node in graph.graph.node if node.op_type == "MaxPool"))


def test_a_pool_of_the_largest_is_of_integers_where_they_are_stored_with_the_layer() -> None:
    assert before_the_pool("openvino") == ["DequantizeLinear"]
    assert before_the_pool("tensorrt") == ["Relu"]


def test_what_others_read_too_is_not_stored_before_a_pool() -> None:
    assert before_the_pool("openvino", "[t] t = Tanh(r1)", "y, t") == ["Relu"]


def test_qnn_leaves_nothing_between_operators_in_float(float_network: onnx.ModelProto) -> None:
    graph = Emitted(quantize(float_network, Config(target="qnn", timing=False)))
    for node in graph.graph.node:
        if node.op_type not in CONVERSIONS:
            assert set(graph.sources(node)) == {"DequantizeLinear"}, node.name
    assert graph.made["y"].op_type == "DequantizeLinear"


def test_qnn_stores_constants_of_sums_and_operators_without_integer_kernels() -> None:
    body = "[c1] c1 = Conv(x, w1) [m] m = Mul(c1, half) [t] t = Tanh(m) [c2] y = Conv(t, w2)"
    half = np.array(0.5, np.float32)
    model = build(body, w1=(8, 3, 3, 3), w2=(4, 8, 1, 1), half=half)
    graph = Emitted(quantize(model, Config(target="qnn", timing=False)))
    for node in graph.graph.node:
        if node.op_type in ("Mul", "Tanh"):
            assert set(graph.sources(node)) == {"DequantizeLinear"}
            assert len(graph.sources(node)) == len(node.input)


def test_qnn_fixes_sizes(float_network: onnx.ModelProto) -> None:
    graph = Emitted(quantize(float_network, Config(target="qnn", timing=False))).graph
    sizes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input]
    assert sizes == [[1, 3, 16, 16]]
    assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, 5]


def test_qnn_asks_for_a_size_that_is_open() -> None:
    model = build("[c1] y = Conv(x, w1)", inputs="float[N,3,H,W] x", w1=(8, 3, 3, 3))
    with pytest.raises(ConfigError, match=r"'x' leaves its size along axis 2 open.*--input-size"):
        quantize(model, Config(target="qnn", timing=False))
    sized = quantize(model, Config(target="qnn", timing=False, input_size=(16, 24)))
    shape = onnx.load_from_string(sized.model).graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [1, 3, 16, 24]


@pytest.mark.parametrize(("opset", "domain"), [(17, "com.microsoft"), (21, "")])
def test_16_bits_of_activations_gain_much(opset: int, domain: str) -> None:
    model = network(opset)
    narrow = quantize(model, Config(target="qnn", timing=False))
    wide = quantize(model, Config(target="qnn", timing=False, activation_bits=16))
    graph = Emitted(wide)
    kinds = {zero.dtype.name for _, zero in graph.conversions(constant=False)}
    domains = {n.domain for n in graph.graph.node if n.op_type == "QuantizeLinear"}
    assert kinds == {"uint16"} and domains == {domain}
    assert wide.report.snr_db["y"] > narrow.report.snr_db["y"] + 5


def test_16_bits_are_refused_where_the_target_has_none() -> None:
    with pytest.raises(ConfigError, match="target tensorrt takes 8: choose target qnn"):
        Config(target="tensorrt", activation_bits=16)


def test_one_tensor_may_have_16_bits_by_plan(float_network: onnx.ModelProto) -> None:
    made = quantize(float_network, Config(target="qnn", timing=False)).plan
    wide = {**made.tensors, "r1": replace(made.tensors["r1"], bits=16, zero=0.0)}
    followed = Emitted(apply(float_network, replace(made, tensors=wide)))
    kinds = [zero.dtype.name for _, zero in followed.conversions(constant=False)]
    assert set(kinds) == {"uint8", "uint16"}
    with pytest.raises(PlanError, match="has 16 bits, and target openvino takes 2 to 8"):
        apply(float_network, replace(made, tensors=wide, target="openvino"))


def test_grid_without_zero_in_its_middle_is_refused_for_a_symmetric_target(
    float_network: onnx.ModelProto,
) -> None:
    made = quantize(float_network, Config(target="tensorrt", timing=False)).plan
    moved = {**made.tensors, "r1": replace(made.tensors["r1"], zero=0.0)}
    with pytest.raises(
        PlanError, match="'r1': zero is 0, and target tensorrt has it in the middle"
    ):
        apply(float_network, replace(made, tensors=moved))


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("x86_64", "onnxruntime"),
        ("AMD64", "onnxruntime"),
        ("aarch64", "onnxruntime-arm"),
        ("arm64", "onnxruntime-arm"),
        ("riscv64", "portable"),
    ],
)
def test_auto_is_the_machines_target(machine: str, name: str) -> None:
    assert of_this_machine(machine) == name


def test_auto_is_settled_in_the_options() -> None:
    assert Config(target="auto").target == of_this_machine()


def test_ranges_measured_as_the_network_runs_are_for_onnx_runtime() -> None:
    with pytest.raises(ConfigError, match="which target qnn does not: choose another method"):
        Config(method="dynamic", target="qnn")


def test_a_tensor_that_is_folded_in_front_of_its_relu_has_another_name() -> None:
    model = network()
    made = quantize(model, Config(target="tensorrt", timing=False))
    folded = [
        name
        for name, entry in made.plan.tensors.items()
        if (entry.alpha or 0) > 0 and name in ("r1", "r2", "r3")
    ]
    written = set(Emitted(made).made)
    assert all(f"n{name[1]}" not in written for name in folded if name != "r3")


@pytest.mark.parametrize(
    ("target", "span", "expected"),
    [
        ("openvino", (-1.0, 1.0), np.int8(0)),
        ("openvino", (-2.1, 2.6), np.uint8(114)),
        ("openvino", (0.0, 1.0), np.uint8(0)),
        ("onnxruntime", (-1.0, 1.0), np.uint8(128)),
    ],
)
def test_a_zero_in_the_middle_is_that_of_int8_where_the_target_is_faster_so(
    target: str, span: tuple[float, float], expected: np.integer
) -> None:
    made = quantize(network(), Config(target=target, input_range=(span,), timing=False))
    graph = onnx.load_from_string(made.model).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    node = next(n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "x")
    found = arrays[node.input[2]]
    assert (found, found.dtype) == (expected, expected.dtype)
