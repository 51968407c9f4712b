"""A ConvTranspose as a Conv of phases that are woven: the same function, on integers."""

import numpy as np
import onnx_ir as ir
import pytest

import spiq
from small_networks import bn, build, norm, trained
from spiq.io.read import read
from spiq.passes import phases
from spiq.passes.phases import phase_convolutions
from spiq.passes.prepare import prepare
from spiq.runtime.session import session


@pytest.fixture(autouse=True)
def _all_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks here are too small for it to pay."""
    monkeypatch.setattr(phases, "_LEAST", 0)


FORMS = {
    "k 2, s 2": ("strides=[2,2]", (2, 2)),
    "k 4, s 2, p 1": ("strides=[2,2], pads=[1,1,1,1]", (4, 4)),
    "k 3, s 2, p 1, more 1": ("strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]", (3, 3)),
    "k 5 and 3, s 2": ("strides=[2,2], pads=[2,1,2,1], output_padding=[1,1]", (5, 3)),
    "k 5, s 2, uneven": ("strides=[2,2], pads=[2,1,1,2]", (5, 5)),
    "k 4, s 4": ("strides=[4,4]", (4, 4)),
    "k 6, s 3, more than it takes": ("strides=[3,3]", (6, 6)),
    "k 3, s 1, p 1": ("pads=[1,1,1,1]", (3, 3)),
    "k 4, s 1": ("strides=[1,1]", (4, 4)),
    "k 4, s 2, p 1, two groups": ("strides=[2,2], pads=[1,1,1,1], group=2", (4, 4)),
    "k 3, s 1, four groups": ("pads=[1,1,1,1], group=4", (3, 3)),
    "a signal, k 16, s 8, p 4": ("strides=[8], pads=[4,4]", (16,)),
    "a volume, k 3, s 1": ("pads=[1,1,1,1,1,1]", (3, 3, 3)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bias", ["", ", b"], ids=["plain", "bias"])
def test_the_function_is_the_same(form: str, bias: str) -> None:
    attributes, kernel = FORMS[form]
    size = ",".join("765"[: len(kernel)])
    groups = int(attributes[-1]) if "group" in attributes else 1
    given = {"b": np.arange(5 * groups, dtype=np.float32)} if bias else {}
    model = build(
        f"y = ConvTranspose<{attributes}>(x, w{bias})", inputs=f"float[N,4,{size}] x",
        w=(4, 5, *kernel), **given,
    )  # fmt: skip
    feed = np.random.default_rng(0).standard_normal((2, 4, *map(int, size.split(","))))
    feeds = {"x": feed.astype(np.float32)}
    wanted = session(model.SerializeToString()).run(None, feeds)[0]
    changed = read(model)
    assert len(phase_convolutions(changed)) == 1
    assert not [node for node in changed.graph if node.op_type == "ConvTranspose"]
    found = session(ir.to_proto(changed).SerializeToString()).run(None, feeds)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "shape", "pays"),
    [
        ("strides=[2,2]", (64, 64, 2, 2), False),
        ("strides=[2,2]", (128, 64, 2, 2), True),
        ("strides=[2,2], group=2", (128, 64, 2, 2), False),
        ("strides=[2,2], pads=[1,1,1,1]", (64, 64, 4, 4), True),
        ("strides=[2,2], pads=[1,1,1,1], group=8", (64, 8, 4, 4), False),
        ("pads=[1,1,1,1]", (4, 4, 3, 3), True),
    ],
    ids=["k 2", "more channels", "in groups", "k 4", "in many groups", "nothing to weave"],
)
def test_only_where_it_is_no_slower(
    attributes: str, shape: tuple[int, ...], pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that come of few multiplications take longer to weave than to compute in float."""
    monkeypatch.undo()
    body = f"y = ConvTranspose<{attributes}>(x, w)"
    model = build(body, inputs=f"float[N,{shape[0]},7,7] x", w=shape)
    assert bool(phase_convolutions(read(model))) == pays


def test_a_point_is_a_matrix_product() -> None:
    """The first layer of a generator: as a convolution it would meet 15 zeros of 16 taps."""
    model = build(
        "y = ConvTranspose<strides=[2,2]>(x, w, b)", inputs="float[N,4,1,1] x", w=(4, 5, 4, 3),
        b=np.arange(5, dtype=np.float32),
    )  # fmt: skip
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 4, 1, 1)).astype(np.float32)}
    changed = read(model)
    assert len(phase_convolutions(changed)) == 1
    assert [node.op_type for node in changed.graph] == ["Flatten", "Gemm", "Reshape"]
    found = session(ir.to_proto(changed).SerializeToString()).run(None, feeds)[0]
    wanted = session(model.SerializeToString()).run(None, feeds)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ("strides=[2,2]", (4, 5, 3, 3)),
        ("strides=[2,1]", (4, 5, 2, 1)),
        ("strides=[2,2], dilations=[2,2]", (4, 5, 2, 2)),
        ('strides=[2,2], auto_pad="SAME_UPPER"', (4, 5, 4, 4)),
    ],
    ids=["sizes that do not fit", "two strides", "dilated", "auto_pad"],
)
def test_others_stay(attributes: str, shape: tuple[int, ...]) -> None:
    model = build(f"y = ConvTranspose<{attributes}>(x, w)", inputs="float[N,4,7,7] x", w=shape)
    assert not phase_convolutions(read(model))


def test_what_batchnorm_states_is_known_of_the_phases() -> None:
    form = FORMS["k 3, s 2, p 1, more 1"][0]
    body = f"c = ConvTranspose<{form}>(x, w) {bn('c', 'n')}"
    model = trained(build(body + "y = Neg(n)", w=(3, 8, 3, 3), **norm("n", 8)))
    prepared = prepare(read(model))
    conv = next(node for node in prepared.model.graph if node.op_type == "Conv")
    woven = next(node for node in prepared.model.graph if node.op_type == "DepthToSpace")
    phases, whole = (prepared.stated[str(node.outputs[0].name)] for node in (conv, woven))
    np.testing.assert_allclose(phases.mean.reshape(8, 4).mean(axis=1), whole.mean)
    np.testing.assert_allclose(phases.var.reshape(8, 4).mean(axis=1), whole.var, rtol=1e-6)


def test_a_decoder_runs_on_integers() -> None:
    up = "ConvTranspose<strides=[2,2]>"
    body = (
        f"[c1] a = Conv<pads=[1,1,1,1]>(x, w1) {bn('a', 'n1')} r1 = Relu(n1) [up] u = {up}(r1, wu) "
        f"{bn('u', 'n2')} r2 = Relu(n2) [c2] y = Conv<pads=[1,1,1,1]>(r2, w2)"
    )
    model = trained(
        build(body, w1=(16, 3, 3, 3), wu=(16, 8, 2, 2), w2=(4, 8, 3, 3), **norm("n1", 16),
              **norm("n2", 8))
    )  # fmt: skip
    result = spiq.quantize(model.SerializeToString(), spiq.Config(timing=False))
    assert [layer.name for layer in result.report.layers if layer.quantized] == ["c1", "up", "c2"]
    assert min(result.report.snr_db.values()) > 20


@pytest.mark.parametrize("first", ["Conv<pads=[1,1,1,1]>", "ConvTranspose<strides=[2,2]>"])
def test_rows_that_become_an_image(first: str) -> None:
    """Each pixel had a range of its own, which no convolution takes: the layer stayed in float."""
    body = (
        f"[h] h = Gemm(x, wh) m = Reshape(h, shape) r = Relu(m) [f] f = {first}(r, wf) "
        "s = Relu(f) [c] y = Conv(s, wc)"
    )
    kernel = (8, 8, 3, 3) if first.startswith("Conv<") else (8, 8, 2, 2)
    model = build(
        body, inputs="float[N,12] x", wh=(12, 128), wf=kernel, wc=(4, 8, 3, 3),
        shape=np.array([0, 8, 4, 4]),
    )  # fmt: skip
    report = spiq.quantize(model.SerializeToString(), spiq.Config(timing=False)).report
    assert not report.float_layers


def test_small_ones_are_written_where_another_runtime_runs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    body = "[c] c = Conv(x, v) [t] t = ConvTranspose<strides=[2,2]>(c, w) [y] y = Conv(t, u)"
    shapes = {"v": (8, 8, 1, 1), "w": (8, 8, 2, 2), "u": (8, 8, 1, 1)}
    model = build(body, inputs="float[N,8,7,7] x", **shapes)
    layers = [
        len(spiq.plan(model, spiq.Config(target=target)).layers)
        for target in ("onnxruntime", "qnn")
    ]
    assert layers == [2, 3]
