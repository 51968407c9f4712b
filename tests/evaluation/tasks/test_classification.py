import dataclasses
import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from spiq.errors import CardError, ConfigError, ModelError
from spiq.evaluation import estimates, evaluate, read
from spiq.evaluation.tasks.classification import ranks


def network(body: str, *, shape: str = "N,3,2,2", classes: int = 12, dtype: str = "float") -> bytes:
    """A network from ``body``, ONNX text that turns ``input`` into ``logits``."""
    batch = shape.split(",")[0]
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny ({dtype}[{shape}] input) => ({dtype}[{batch},{classes}] logits) {{ {body} }}
    """
    return onnx.parser.parse_model(text).SerializeToString()


FLAT = "logits = Flatten <axis = 1> (input)"
ROUNDED = """
    flat = Flatten <axis = 1> (input)
    step = Constant <value = float {0.125} > ()
    steps = Div (flat, step)
    whole = Round (steps)
    logits = Mul (whole, step)
"""
BACKWARDS = """
    flat = Flatten <axis = 1> (input)
    order = Constant <value = int64[12] {11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}> ()
    logits = Gather <axis = 1> (flat, order)
"""


def stored(path):
    """Inputs as FLAT sees them and labels, computed apart from the modules under test."""
    images, labels = [], []
    for part in sorted((path.parent / "images").iterdir()):
        with np.load(part) as arrays:
            images.append(arrays["images"])
            labels.append(arrays["labels"])
    pixels = np.concatenate(images).astype(np.float64) / 255
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), np.concatenate(labels)


def hits(logits, labels, k):
    """Whether the label is among the first k, equal logits in the order of the classes."""
    order = np.argsort(-logits, axis=1, kind="stable")
    return np.array([label in row[:k] for row, label in zip(order, labels, strict=True)])


@pytest.mark.parametrize("batch", [1, 4, 8, 64])
def test_scores_equal_an_independent_computation(make_card, batch):
    path = make_card((30, 1, 20))
    logits, labels = stored(path)
    rounded = np.round(logits / 0.125) * 0.125
    result = evaluate([network(FLAT), network(ROUNDED)], path, batch=batch)
    assert (result.images, result.batch, result.card) == (51, batch, "tiny")
    first, second = result.models
    for score, expected in ((first, logits), (second, rounded)):
        assert score.top1.value == pytest.approx(100 * hits(expected, labels, 1).mean())
        assert score.top5.value == pytest.approx(100 * hits(expected, labels, 5).mean())
    assert first.comparison is None and second.comparison is not None
    agreement = 100 * (logits.argmax(1) == rounded.argmax(1)).mean()
    assert second.comparison.agreement == pytest.approx(agreement)
    snr = 10 * np.log10(np.sum((logits - logits.mean()) ** 2) / np.sum((logits - rounded) ** 2))
    assert second.comparison.snr_db == {"logits": pytest.approx(snr, abs=1e-3)}
    difference = second.comparison.top1_difference
    assert difference.value == pytest.approx(second.top1.value - first.top1.value)


def test_a_network_equals_itself(make_card):
    first, second = evaluate([network(FLAT), network(FLAT)], make_card()).models
    assert second.top1 == first.top1
    assert second.comparison.agreement == 100
    assert second.comparison.snr_db == {"logits": None}
    assert dataclasses.astuple(second.comparison.top1_difference) == (0, 0, 0)


def test_the_result_is_json(make_card):
    result = evaluate([network(FLAT), network(FLAT), network(BACKWARDS)], make_card())
    text = json.dumps(dataclasses.asdict(result), allow_nan=False)
    assert json.loads(text)["models"][2]["comparison"]["agreement"] < 100


def test_limit_and_progress(make_card):
    seen = []
    path = make_card((5, 4))

    def progress(done, total):
        seen.append((done, total))

    result = evaluate([network(FLAT)], read(path), limit=7, batch=3, progress=progress)
    logits, labels = stored(path)
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert result.images == 7
    top1 = 100 * hits(logits, labels, 1)[:7].mean()
    assert result.models[0].top1.value == pytest.approx(top1)


def test_a_fixed_batch_size_takes_the_place_of_batch(make_card):
    path = make_card((5, 4))
    free, fixed = network(FLAT), network(FLAT, shape="4,3,2,2")
    result = evaluate([free, fixed], path, batch=8)
    assert result.batch == 4
    assert result.models[1].top5 == result.models[0].top5
    assert result.models[1].comparison.snr_db == {"logits": None}
    with pytest.raises(ConfigError, match=r"fix different batch sizes .*model 2: 4.*model 3: 2"):
        evaluate([free, fixed, network(FLAT, shape="2,3,2,2")], path)


def test_ranks_count_equal_logits_in_the_order_of_the_classes():
    logits = np.array([[1, 3, 3, 3], [1, 3, 3, 3], [0, 0, 0, 0]], np.float32)
    assert ranks(logits, np.array([3, 1, 0])).tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 10, 0.0, 27.7533),
        (10, 10, 72.2467, 100.0),
        (81, 263, 25.5261, 36.6196),  # R. G. Newcombe, Statistics in Medicine 1998, table I
    ],
)
def test_wilson(hits, n, low, high):
    estimate = estimates.wilson(hits, n)
    assert estimate.value == pytest.approx(100 * hits / n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.02)
    for p in (estimate.low / 100, estimate.high / 100):
        # Wilson's ends solve |hits/n - p| = z sqrt(p (1 - p) / n).
        deviation = estimates.Z * np.sqrt(p * (1 - p) / n)
        assert abs(hits / n - p) == pytest.approx(deviation, abs=1e-9)


def test_paired_difference():
    first = np.array([1, 1, 0, 0, 1, 1, 0, 1], bool)
    other = np.array([1, 0, 1, 0, 1, 0, 0, 1], bool)
    # One image gained and two lost: mean -1/8, sum of squared deviations 3 - 8 (1/8)^2.
    half = 1.959964 * np.sqrt((3 - 1 / 8) / 7 / 8)
    estimate = estimates.paired_difference(first, other)
    expected = (-12.5, -12.5 - 100 * half, -12.5 + 100 * half)
    assert dataclasses.astuple(estimate) == pytest.approx(expected, rel=1e-5)
    assert dataclasses.astuple(estimates.paired_difference(first[:1], other[:1])) == (0, 0, 0)


NOT_FINITE = "flat = Flatten <axis = 1> (input) logits = Log (flat)"
ONE_ROW = """
    rows = Constant <value = int64[2] {1, -1}> ()
    logits = Reshape (input, rows)
"""


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("absent.onnx", ModelError, r"absent\.onnx"),
        (b"no model", ModelError, "cannot load it"),
        (
            network(FLAT, shape="N,3,4,4", classes=48),
            CardError,
            r"'input' has shape \(N, 3, 4, 4\), but .*card.toml says \(N, 3, 2, 2\)",
        ),
        (network(FLAT, shape="N,3", classes=3), CardError, r"shape \(N, 3\), but"),
        (network(FLAT, dtype="double"), ModelError, r"inputs are \(tensor\(double\)\)"),
        (network(FLAT, shape="N,3,2,W"), CardError, "with 12 logits, but .* says 10"),
        (network(NOT_FINITE), ModelError, "not all finite"),
        (network(ONE_ROW), ModelError, "5 images give an output of shape"),
    ],
    ids=["absent", "broken", "size", "rank", "dtype", "classes", "not finite", "not per image"],
)
def test_refuses_a_network_that_does_not_fit(make_card, model, error, message):
    classes = 10 if "says 10" in message else 12
    images = np.zeros((5, 2, 2, 3), np.uint8)
    path = make_card((5,), arrays={"images": images}, decode=f"outputs = {classes}")
    with pytest.raises(error, match=message):
        evaluate([model], path)


def test_refuses_a_failure_in_the_runtime(make_card):
    body = """
        shape = Constant <value = int64[2] {-1, 7}> ()
        logits = Reshape (input, shape)
    """
    with pytest.raises(ModelError, match="model 1: ONNX Runtime cannot run it"):
        evaluate([network(body, classes=7)], make_card())


def test_refuses_labels_beyond_the_classes(make_card):
    path = make_card((5,), arrays={"labels": np.full(5, 12)})
    with pytest.raises(CardError, match="from 12 to 12, but the network has 12 classes"):
        evaluate([network(FLAT)], path)


def test_refuses_options_that_make_no_sense(make_card):
    path = make_card()
    with pytest.raises(ConfigError, match="no network"):
        evaluate([], path)
    with pytest.raises(ConfigError, match="batch is 0"):
        evaluate([network(FLAT)], path, batch=0)


@pytest.mark.zoo
def test_a_real_network_equals_a_straightforward_computation(zoo):
    folder = zoo / "classification" / "resnet8-cifar10"
    model = folder / "model.onnx"
    with np.load(zoo / "data" / "cifar10_3000" / "part-00.npz") as arrays:
        images, labels = arrays["images"][:500], arrays["labels"][:500]
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    pixels = np.moveaxis(images, -1, 1).astype(np.float32)
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels})
    (score,) = evaluate([model], folder / "zoo.toml", limit=500).models
    assert score.top1.value == pytest.approx(100 * hits(logits, labels, 1).mean())
    assert score.top5.value == pytest.approx(100 * hits(logits, labels, 5).mean())
