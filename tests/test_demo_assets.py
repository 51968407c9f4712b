"""The shipped example is what its card says; reads the files directly, not through the package."""

import hashlib
import tomllib

import numpy as np
import onnx
import onnxruntime
import pytest

from spiq.demo import card_path, model_path


@pytest.fixture(scope="module")
def card():
    return tomllib.loads(card_path().read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def graph():
    return onnx.load(model_path()).graph


@pytest.fixture(scope="module")
def digits(card):
    path = card_path().parent / card["dataset"]["dir"] / card["dataset"]["images"]
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]


def attribute(node, name, default=None):
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return values.get(name, default)


def dims(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_files_are_small():
    assert model_path().stat().st_size < 1_000_000
    assert (card_path().parent / "digits.npz").stat().st_size < 700_000


def test_model_is_an_opset_17_file_with_a_dynamic_batch(card):
    model = onnx.load(model_path())
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    size = [card["input"]["height"], card["input"]["width"]]
    assert [dims(v) for v in model.graph.input] == [["batch", 3, *size]]
    assert [dims(v) for v in model.graph.output] == [["batch", card["decode"]["outputs"]]]


def test_every_batchnorm_is_kept_and_frozen(graph, card):
    batchnorms = [n for n in graph.node if n.op_type == "BatchNormalization"]
    convs = [n for n in graph.node if n.op_type == "Conv"]
    assert len(batchnorms) == len(convs) == card["model"]["batchnorm_nodes"]
    assert {n.input[0] for n in batchnorms} == {n.output[0] for n in convs}
    assert all(attribute(n, "training_mode", 0) == 0 for n in batchnorms)
    assert all(len(n.input) == 2 for n in convs)  # no bias: nothing was folded


def test_channels_of_a_layer_differ(graph):
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    gammas = [arrays[n.input[1]] for n in graph.node if n.op_type == "BatchNormalization"]
    spreads = [float(np.log(np.abs(gamma)).std()) for gamma in gammas[:-1]]
    assert min(spreads) > 1
    assert float(np.log(np.abs(gammas[-1])).std()) < 0.1  # in front of the mean: as it began


def test_card_names_these_files(card, digits):
    data = model_path().read_bytes()
    assert card["model"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["model"]["bytes"] == len(data)
    images, labels = digits
    n = card["dataset"]["n"]
    assert card["float32"]["images"] == n
    assert images.dtype == np.uint8
    assert images.shape == (n, card["input"]["height"], card["input"]["width"], 3)
    assert labels.dtype == np.int64
    assert labels.shape == (n,)
    assert set(labels) == set(range(card["decode"]["classes"]))


def test_float_accuracy_is_the_one_on_the_card(card, digits):
    images, labels = digits
    mean, std = (np.array(card["input"][key], np.float32) for key in ("mean", "std"))
    pixels = ((images - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(model_path(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": pixels})
    ranked = np.argsort(-logits, axis=1)
    hits = ranked == labels[:, None]
    assert 100 * hits[:, 0].mean() == pytest.approx(card["float32"]["top1"], abs=0.1)
    assert 100 * hits[:, :5].any(axis=1).mean() == pytest.approx(card["float32"]["top5"], abs=0.1)
    assert 97 < card["float32"]["top1"] < 99.9
