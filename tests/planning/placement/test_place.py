"""Placement: what runs on integers, what shares a grid or a scale, and why a layer does not."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import bn, build, floats, norm, trained, whole
from spiq.config import Config
from spiq.io.read import read
from spiq.passes.prepare import prepare
from spiq.planning.choose.exclusion import excluded
from spiq.planning.placement.place import place
from spiq.planning.placement.values import Placement
from spiq.stats.inputs.known import input_stats
from spiq.stats.propagate import measure
from spiq.targets import ONNXRUNTIME

STEM = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [r] r = Relu(c1) "
OTHER = "[c2] c2 = Conv<pads=[1,1,1,1]>(x, w1) [q] q = Relu(c2) "
HEAD = "[o] y = Conv(m, wo)"
BASE = {"w1": (8, 3, 3, 3), "wo": (4, 8, 1, 1)}


class Placed:
    """A placement by names."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.values = {str(value.name): value for value in placement.grids}
        self.integer = {str(node.name) for node in placement.integer}
        self.absorbed = {str(node.name) for node in placement.absorbed}
        self.reasons = {str(node.name): reason for node, reason in placement.reasons.items()}

    def classes(self, name: str) -> list[int]:
        return self.placement.classes[self.values[name]].reshape(-1).tolist()

    def grid(self, name: str) -> int:
        return self.placement.grids[self.values[name]]


def placed(
    body: str,
    *,
    exclude: Sequence[str] = (),
    inputs: str = "float[N,3,16,16] x",
    outputs: str = "y",
    opset: int = 17,
    **constants: object,
) -> Placed:
    given = {name: array for name, array in BASE.items() if name in body} | constants
    model = build(body, inputs=inputs, outputs=outputs, opset=opset, **given)
    prepared = prepare(read(trained(model)))
    measured = measure(prepared, input_stats(prepared, Config())[0])
    graph = prepared.model.graph
    return Placed(
        place(graph, measured, ONNXRUNTIME, excluded(graph, Config(exclude=tuple(exclude)), {}))
    )


def distinct(*lists: list[int]) -> bool:
    joined = [name for names in lists for name in names]
    return len(set(joined)) == len(joined)


# Classes


def test_layers_take_any_scale_on_either_side() -> None:
    found = placed(f"{STEM}[o] y = Conv<group=2>(r, wo)", wo=(4, 4, 1, 1))
    assert distinct(found.classes("x"), found.classes("r"), found.classes("y"))


def test_depthwise_convolution_and_batchnorm_part_the_classes() -> None:
    body = f"{STEM}[d] d = Conv<group=8>(r, wd) [p] p = MaxPool<kernel_shape=[2,2]>(d) "
    found = placed(
        f"{body}{bn('p', 'm')}[o] y = Conv<pads=[1,1,1,1]>(m, wo)", wd=(8, 1, 3, 3), **norm("m", 8)
    )
    assert distinct(found.classes("r"), found.classes("d"), found.classes("m"))
    assert found.classes("p") == found.classes("d")


def test_add_has_one_scale_on_both_sides_and_behind() -> None:
    found = placed(f"{STEM}[c2] c2 = Conv(r, w2) [a] a = Add(c2, r) [m] m = Relu(a) {HEAD}",
                   w2=(8, 8, 1, 1))  # fmt: skip
    assert found.classes("r") == found.classes("c2") == found.classes("m")
    assert distinct(found.classes("r"))
    assert len({found.grid(name) for name in ("r", "c2", "m")}) == 3


def test_add_of_a_pooled_tensor_broadcasts() -> None:
    found = placed(f"{STEM}{OTHER}[g] g = GlobalAveragePool(q) [m] m = Add(r, g) {HEAD}")
    assert found.classes("q") == found.classes("g") == found.classes("m") == found.classes("r")


def test_concat_lines_channels_up() -> None:
    found = placed(f"{STEM}{OTHER}[m] m = Concat<axis=1>(r, q) {HEAD}", wo=(4, 16, 1, 1))
    assert found.classes("m") == found.classes("r") + found.classes("q")
    assert distinct(found.classes("m"))


def test_concat_of_a_tensor_with_itself() -> None:
    found = placed(f"{STEM}[m] m = Concat<axis=1>(r, r) {HEAD}", wo=(4, 16, 1, 1))
    assert found.classes("m") == found.classes("r") * 2


def test_split_and_slice_take_channels_apart() -> None:
    found = placed(
        f"{STEM}[s] a, b = Split<axis=1>(r, sizes) [l] l = Slice(r, one, four, one) "
        "[ca] y = Conv(a, wa) [cb] z = Conv(b, wb) [cl] u = Conv(l, wa)",
        outputs="y, z, u",
        sizes=whole(3, 5),
        one=whole(1),
        four=whole(4),
        wa=(2, 3, 1, 1),
        wb=(2, 5, 1, 1),
    )
    assert found.classes("a") + found.classes("b") == found.classes("r")
    assert found.classes("l") == found.classes("r")[1:4]


def test_channel_shuffle_permutes() -> None:
    found = placed(
        f"{STEM}[s1] s = Reshape(r, s5) [t] t = Transpose<perm=[0,2,1,3,4]>(s) "
        f"[s2] m = Reshape(t, s4) {HEAD}",
        s5=whole(0, 2, 4, 16, 16),
        s4=whole(0, 8, 16, 16),
    )
    r = found.classes("r")
    assert found.classes("m") == [r[c] for c in (0, 4, 1, 5, 2, 6, 3, 7)]
    assert {found.grid(name) for name in "rstm"} == {found.grid("r")}
    assert {"s1", "t", "s2"} <= found.integer


def test_channel_pad_leaves_its_zeros_free() -> None:
    found = placed(f"{STEM}[m] m = Pad(r, pads) {HEAD}", pads=whole(0, 1, 0, 0, 0, 2, 0, 0),
                   wo=(4, 11, 1, 1))  # fmt: skip
    classes = found.classes("m")
    assert classes[1:9] == found.classes("r")
    assert distinct(classes)
    assert found.grid("m") == found.grid("r")


def test_flatten_repeats_a_channel_for_each_pixel() -> None:
    found = placed(f"{STEM}[p] p = MaxPool<kernel_shape=[8,8], strides=[8,8]>(r) [f] m = Flatten(p)"
                   " [o] y = Gemm<transB=1>(m, wo)", wo=(5, 32))  # fmt: skip
    assert found.classes("m") == np.repeat(found.classes("r"), 4).tolist()


# Pinned scales


def pinned(found: Placed, name: str) -> bool:
    held = [c in found.placement.pinned for c in found.classes(name)]
    assert all(held) or not any(held)
    return all(held)


def test_sigmoid_alone_pins_what_it_reads_and_writes() -> None:
    found = placed(f"{STEM}[c2] c2 = Conv(r, w2) [m] m = Sigmoid(c2) {HEAD}", w2=(8, 8, 1, 1))
    assert [pinned(found, name) for name in ("r", "c2", "m", "y")] == [False, True, True, False]
    assert distinct(found.classes("c2"), found.classes("m"))


def test_gate_hands_the_scale_of_what_it_opens_on() -> None:
    gate = "[g] g = GlobalAveragePool(r) [c2] c2 = Conv(g, w2) [s] s = Sigmoid(c2) "
    found = placed(f"{STEM}{gate}[m] m = Mul(s, r) {HEAD}", w2=(8, 8, 1, 1))
    assert {"g", "c2", "s", "m"} <= found.integer
    assert found.classes("m") == found.classes("r") == found.classes("g")
    assert [pinned(found, name) for name in ("r", "m", "s", "c2")] == [False, False, True, True]


def test_gates_that_float_operators_make_are_stored() -> None:
    gate = "[g] g = GlobalAveragePool(r) [t] t = Tanh(g) "
    found = placed(f"{STEM}{gate}[m] m = Mul(r, t) {HEAD}")
    assert {"m"} <= found.integer and "t" not in found.integer
    assert found.classes("m") == found.classes("r")
    assert [pinned(found, name) for name in ("m", "t")] == [False, True]


def test_gates_are_known_behind_what_moves_them() -> None:
    gate = "[g] g = GlobalAveragePool(r) [c2] c2 = Conv(g, w2) [s] s = Sigmoid(c2) "
    flat = "[f] f = Reshape(s, flat) [b] b = Reshape(f, back) "
    found = placed(f"{STEM}{gate}{flat}[m] m = Mul(r, b) {HEAD}", w2=(8, 8, 1, 1),
                   flat=whole(0, 8), back=whole(0, 8, 1, 1))  # fmt: skip
    assert {"s", "b", "m"} <= found.integer
    assert [pinned(found, name) for name in ("m", "b")] == [False, True]


def test_a_whole_tensor_of_float_operators_is_not_stored_for_a_product() -> None:
    found = placed(f"{STEM}[t] t = Tanh(r) [m] m = Mul(r, t) {HEAD}")
    assert "m" not in found.integer and "t" not in found.values


def test_hard_swish_keeps_the_scales_of_its_channels() -> None:
    found = placed(f"{STEM}[c2] c2 = Conv(r, w2) [m] m = HardSwish(c2) {HEAD}", w2=(8, 8, 1, 1))
    assert found.classes("c2") == found.classes("m") and not pinned(found, "m")
    assert pinned(found, "m_gate")


def test_silu_keeps_the_scales_of_its_channels() -> None:
    found = placed(f"{STEM}[c2] c2 = Conv(r, w2) [s] s = Sigmoid(c2) [m] m = Mul(c2, s) {HEAD}",
                   w2=(8, 8, 1, 1))  # fmt: skip
    assert found.classes("c2") == found.classes("m") and not pinned(found, "m")
    assert pinned(found, "s") and not pinned(found, "r")


def test_products_of_two_tensors_are_pinned() -> None:
    found = placed(f"{STEM}{OTHER}[m] m = Mul(r, q) {HEAD}")
    assert pinned(found, "r") and pinned(found, "q") and pinned(found, "m")


# Grids


def test_concat_shares_its_grid_where_only_concats_read() -> None:
    body = "[c1] c1 = Conv(x, w1) [c2] c2 = Conv(x, w1) [k] k = Concat<axis=1>(c1, c2) "
    found = placed(f"{body}[o] y = Conv(k, wo) [u] z = Conv(c2, wu)",
                   outputs="y, z", wo=(4, 16, 1, 1), wu=(4, 8, 1, 1))  # fmt: skip
    assert found.grid("k") == found.grid("c1") != found.grid("c2")


def test_relus_share_the_grid_of_a_concat_of_relus() -> None:
    found = placed(f"{STEM}{OTHER}[m] m = Concat<axis=1>(r, q) {HEAD}", wo=(4, 16, 1, 1))
    assert found.grid("r") == found.grid("q") == found.grid("m")


@pytest.mark.parametrize("between", ["", "[p] p = MaxPool<kernel_shape=[1,1]>(r) "])
@pytest.mark.parametrize("order", ["{}, c2", "c2, {}"])
def test_relu_keeps_its_own_grid_beside_a_signed_tensor(between: str, order: str) -> None:
    inputs = order.format("p" if between else "r")
    found = placed(f"{STEM}{between}[c2] c2 = Conv<pads=[1,1,1,1]>(x, w1) "
                   f"[k] m = Concat<axis=1>({inputs}) {HEAD}", wo=(4, 16, 1, 1))  # fmt: skip
    assert found.absorbed == {"r"}
    assert found.grid("r") != found.grid("m") == found.grid("c2")


def test_relu6_shares_a_grid_with_relu6_but_not_with_relu() -> None:
    clips = "[a] a = Clip(c1, lo, hi) [b] b = Clip(c2, lo, hi) "
    layers = "[c1] c1 = Conv(x, w1) [c2] c2 = Conv(x, w1) "
    ends = {"lo": np.float32(0), "hi": np.float32(6), "wo": (4, 16, 1, 1)}
    found = placed(f"{layers}{clips}[k] m = Concat<axis=1>(a, b) {HEAD}", **ends)
    assert found.grid("a") == found.grid("b") == found.grid("m")
    relu = clips.replace("Clip(c2, lo, hi)", "Relu(c2)")
    found = placed(f"{layers}{relu}[k] m = Concat<axis=1>(a, b) {HEAD}", **ends)
    assert found.grid("a") != found.grid("m") == found.grid("b")


# What runs on integers


def test_joiners_that_no_layer_reads_stay_in_float() -> None:
    found = placed(f"{STEM}[o] o = Conv(r, wo) [o2] o2 = Conv(r, wo) [a] a = Add(o, o2) "
                   "[g] y = GlobalAveragePool(a)")  # fmt: skip
    assert found.integer == {"c1", "o", "o2"}
    assert "a" not in found.values


def test_joiners_of_float_tensors_stay_in_float() -> None:
    found = placed(f"{STEM}[t] t = Tanh(r) [a] m = Add(t, r) {HEAD}")
    assert found.integer == {"c1", "o"}
    assert set(found.values) == {"x", "r", "m", "y"}


def test_activation_between_layers_is_absorbed_and_behind_a_float_operator_is_not() -> None:
    found = placed(f"{STEM}[t] t = Tanh(r) [q] m = Relu(t) {HEAD}")
    assert found.absorbed == {"r"}


@pytest.mark.parametrize(("low", "high"), [(-1.0, 6.0), (0.5, 6.0)])
def test_clip_that_does_not_start_at_zero_is_not_absorbed(low: float, high: float) -> None:
    found = placed(f"[c1] c1 = Conv(x, w1) [k] m = Clip(c1, lo, hi) {HEAD}",
                   lo=np.float32(low), hi=np.float32(high))  # fmt: skip
    assert not found.absorbed
    assert {"c1", "m"} <= set(found.values)


def test_activation_of_a_tensor_that_others_read_is_not_absorbed() -> None:
    assert not placed(f"{STEM}[o] y = Conv(r, wo) [o2] z = Conv(c1, wo)", outputs="y, z").absorbed


def test_last_gemm_ends_in_float_and_a_gemm_between_layers_is_stored() -> None:
    found = placed("[g1] a = Gemm<transB=1>(x, wa) [r] b = Relu(a) [g2] y = Gemm<transB=1>(b, wb)",
                   inputs="float[N,10] x", wa=(6, 10), wb=(4, 6))  # fmt: skip
    assert set(found.values) == {"x", "b"}
    assert found.integer == {"g1", "g2"} and found.absorbed == {"r"}


# Reasons


@pytest.mark.parametrize(
    ("body", "constants", "name", "words"),
    [
        (f"{STEM}[o] y = ConvTranspose<strides=[2,2]>(r, wt)", {"wt": (8, 4, 2, 2)}, "o",
         "no integer kernel for ConvTranspose, and a convolution in its place"),
        (f"{STEM}[n] n = Mean(r, r) [o] y = Conv(n, wo)", {}, "o", "from Mean 'n'"),
        (f"{STEM}[n] n = GlobalAveragePool(r) [s] s = Reshape(n, sh) [o] y = Conv(r, wo, s)",
         {"sh": whole(-1), "wo": (8, 8, 1, 1)}, "o", "bias is not constant"),
    ],
    ids=["kernel", "statistics", "bias"],
)  # fmt: skip
def test_reason_for_a_layer_left_in_float(
    body: str, constants: dict[str, object], name: str, words: str
) -> None:
    inputs = "float[1,3,16,16] x"
    found = placed(body, inputs=inputs, **constants)
    assert words in found.reasons[name]
    assert found.integer == {"c1"}
    assert set(found.values) == {"x", "r"}


def test_excluded_layers_stay_in_float_by_pattern() -> None:
    body = f"{STEM}[o] m = Conv(r, w2) [p] y = Conv(m, wo)"
    found = placed(body, exclude=("c*", "p"), w2=(8, 8, 1, 1))
    assert found.reasons == {"c1": "excluded", "p": "excluded"}
    assert found.integer == {"o"}
    assert set(found.values) == {"r", "m"}


def test_image_that_is_transposed_first_has_scales_along_its_last_axis() -> None:
    found = placed("[t] t = Transpose<perm=[0,3,1,2]>(x) [c] y = Conv(t, w1)",
                   inputs="float[N,16,12,3] x")  # fmt: skip
    assert found.placement.classes[found.values["t"]].shape == (1, 3, 1, 1)


def test_weight_of_another_operator_is_no_layer() -> None:
    found = placed(f"{STEM}[s] s = Div(k, r) [o] y = Conv(s, wo)", k=floats(2))
    assert found.integer == {"c1", "o"}
    assert not found.reasons


def test_every_value_is_of_the_graph() -> None:
    found = placed(f"{STEM}[o] y = Conv(r, wo)")
    assert all(isinstance(value, ir.Value) for value in found.values.values())


def test_what_only_excluded_layers_read_stays_in_float() -> None:
    """A layer left in float is no way on integers to the layers behind it."""
    stem = "[c1] c1 = Conv<pads=[1,1,1,1]>(x, w1) [l] l = LeakyRelu(c1) [k] k = Conv(l, wk) "
    body = f"{stem}[m] m = Relu(k) {HEAD}"
    found = placed(body, exclude=["k"], wk=(8, 8, 1, 1))
    assert found.integer == {"c1", "o"}
    assert "l" not in found.values
