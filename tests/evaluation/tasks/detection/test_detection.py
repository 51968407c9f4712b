import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from tiny_detection import make_images, make_truth, network, write_card

from engine_in_process import InHere, opened_here
from spiq.cli import main
from spiq.errors import CardError, ConfigError, ModelError
from spiq.evaluation import Division, evaluate, read
from spiq.evaluation.panels import drawn
from spiq.evaluation.tasks.detection import disagreement, matching
from spiq.evaluation.tasks.detection.boxes import Detections
from spiq.evaluation.view import views

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("pycocotools")

COARSE = 1 / 16


def expected_mAP(images, described, size, step):
    """(mAP, mAP50) by pycocotools of what :func:`network` gives, without suppression."""
    COCO, COCOeval = matching.cocotools()
    rows = []
    for index, image in enumerate(images):
        for x, y, width, height, *scores in (np.round(image[..., 0] / 255 / step) * step).T:
            label = int(np.argmax(scores))
            box = np.array([x - width / 2, y - height / 2, width, height]) * np.tile(size, 2)
            rows.append([10 * index + 2, *box, scores[label], (7, 9)[label]])
    numbered = [box | {"id": i + 1} for i, box in enumerate(described["annotations"])]
    known = COCO()
    known.dataset = {**described, "info": {}, "annotations": numbered}
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(np.array(rows)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:2]


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_scores_equal_pycocotools(stored, batch):
    stored.write_text(stored.read_text() + "nms_iou = 1.0\n")
    images = make_images(17)
    described = make_truth(images, (100, 60))
    models = [network(step=1e-6), network(step=COARSE)]
    result = evaluate(models, stored, batch=batch)
    assert (result.images, result.batch, result.skipped) == (17, batch, ())
    assert result.models[1].boxes == sum(1 - box["iscrowd"] for box in described["annotations"])
    for score, step in zip(result.models, (1e-6, COARSE), strict=True):
        expected = expected_mAP(images, described, (100, 60), step)
        assert 0.1 < expected[0] < 1
        assert [score.mAP.value, score.mAP50.value] == pytest.approx(expected, abs=1e-9)
        assert score.mAP.low <= score.mAP.value <= score.mAP.high
    first, second = result.models
    assert first.comparison is None
    difference = second.comparison.mAP_difference
    assert difference.value == pytest.approx(second.mAP.value - first.mAP.value)
    assert difference.low <= difference.value <= difference.high
    values = images.transpose(0, 3, 1, 2)[:, 0] / 255 * [[5], [6], [5], [6], [1], [1]]
    coarse = np.round(images[..., 0] / 255 / COARSE) * COARSE * [[5], [6], [5], [6], [1], [1]]
    snr = 10 * np.log10(np.sum((values - values.mean()) ** 2) / np.sum((values - coarse) ** 2))
    assert second.comparison.snr_db == {"boxes": pytest.approx(snr, abs=1e-2)}


def test_a_network_equals_itself(stored):
    first, second = evaluate([network(), network()], stored).models
    assert (second.mAP, second.mAP50, second.voc_mAP50) == (first.mAP, first.mAP50, first.voc_mAP50)
    assert second.comparison.snr_db == {"boxes": None}
    assert dataclasses.astuple(second.comparison.mAP_difference) == (0, 0, 0)
    assert list(second.comparison.disagreement.values()) == [0.0] * 17


def test_the_batch_size_changes_nothing(stored):
    models = [network(), network(step=COARSE)]

    def found(**options):
        scores = evaluate(models, stored, **options).models
        return [(s.mAP, s.mAP50, s.voc_mAP50, s.detections) for s in scores]

    assert found(batch=1) == found(batch=5) == found(batch=17)


def test_a_fixed_batch_size_takes_the_place_of_batch(stored):
    free, fixed = evaluate([network(), network(batch="4")], stored).models
    assert fixed.mAP == free.mAP


def test_limit_and_progress(stored):
    seen = []

    def progress(done, total):
        seen.append((done, total))

    models = [network(), network()]
    _, second = evaluate(models, read(stored), limit=7, batch=3, progress=progress).models
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert list(second.comparison.disagreement) == [f"{i}.png" for i in range(7)]


def test_the_result_is_json(stored):
    result = evaluate([network(), network(step=COARSE)], stored)
    text = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
    assert len(text["models"][1]["comparison"]["disagreement"]) == 17
    assert 0 < result.runtime_share < 1


def picture_card(tmp_path, images, *, broken=()):
    folder = tmp_path / "data" / "val"
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        path = folder / f"{index}.png"
        Image.fromarray(image[..., 0]).save(path)
        if index in broken:
            path.write_bytes(path.read_bytes()[:40])
    described = make_truth(images, (5, 6))
    (tmp_path / "data" / "truth.json").write_text(json.dumps(described))
    return write_card(
        tmp_path,
        dataset='layout = "coco"\nimages = "val"\nannotations = "truth.json"',
        preprocess='resize = "exact"',
    )


def test_pictures_equal_stored_images(tmp_path, stored):
    (tmp_path / "files").mkdir()
    path = picture_card(tmp_path / "files", make_images(17))
    one, other = evaluate([network()], path), evaluate([network()], stored)
    assert one.models[0].mAP.value == pytest.approx(other.models[0].mAP.value, abs=1e-6)


def test_broken_pictures_are_left_out_and_told(tmp_path):
    path = picture_card(tmp_path, make_images(9), broken=(0, 4, 5))
    models = [network(), network(step=COARSE)]
    result = evaluate(models, path, batch=2)
    assert result.images == 6
    assert len(result.skipped) == 3
    assert all("cannot be decoded" in line for line in result.skipped)
    left = ["1.png", "2.png", "3.png", "6.png", "7.png", "8.png"]
    assert list(result.models[1].comparison.disagreement) == left


def test_only_broken_pictures_are_an_error(tmp_path):
    path = picture_card(tmp_path, make_images(3), broken=(0, 1, 2))
    with pytest.raises(CardError, match=r"none of 3 images can be decoded; .*0\.png"):
        evaluate([network()], path)


def test_no_labelled_boxes_are_an_error(stored):
    truth = stored.parent / "data" / "truth.json"
    described = json.loads(truth.read_text())
    truth.write_text(json.dumps(described | {"annotations": []}))
    with pytest.raises(CardError, match="the annotations have no boxes in 17 images"):
        evaluate([network()], stored)


def test_another_network_is_refused(stored):
    path = stored.with_name("other.toml")
    path.write_text(stored.read_text().replace("classes = 2", "classes = 3"))
    described = json.loads((stored.parent / "data" / "truth.json").read_text())
    described["categories"].append({"id": 11, "name": "third"})
    (stored.parent / "data" / "truth.json").write_text(json.dumps(described))
    with pytest.raises(CardError, match=r"model 1: its outputs are \(N, 6, 5\), but .*7, cells"):
        evaluate([network()], path)


def test_values_that_are_not_finite_are_refused(stored):
    with pytest.raises(ModelError, match="model 1: its outputs are not all finite"):
        evaluate([network(step=0.0)], stored)


def test_missing_pycocotools_is_told(stored, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(ConfigError, match=r"needs pycocotools: pip install 'spiq\[tasks\]'"):
        evaluate([network()], stored)


def test_boxes_to_draw(stored):
    models = [network(step=1e-6), network(step=COARSE)]
    card = read(stored)
    shown = list(views(models, card, limit=5))
    images = make_images(17)
    described = make_truth(images, (100, 60))
    result = evaluate(models, stored, limit=5)
    gaps = result.models[1].comparison.disagreement
    assert [view.sample.name for view in shown] == list(gaps)
    for index, view in enumerate(shown):
        truth, found = drawn(view.sample, card), [x.mapped((5, 6), (0, 0)) for x in view.answers]
        np.testing.assert_array_equal(view.sample.image, images[index])
        boxes = [b["bbox"] for b in described["annotations"] if b["image_id"] == 10 * index + 2]
        corners = np.array(boxes) * [0.05, 0.1, 0.05, 0.1]
        corners[:, 2:] += corners[:, :2]
        np.testing.assert_allclose(truth.boxes, corners, rtol=1e-5)
        assert len(found) == 2
        assert isinstance(found[0], Detections)
        assert (np.diff(found[0].scores) <= 0).all()
        assert view.gaps[1] == pytest.approx(gaps[view.sample.name], abs=1e-5)
        assert disagreement(*found) == pytest.approx(view.gaps[1], abs=1e-5)
        x, y, width, height = images[index, :4, :, 0] / 255 * [[5], [6], [5], [6]]
        given = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
        for box in found[0].boxes:
            assert np.abs(given - box).max(axis=1).min() < 1e-4


def test_the_command_prints_a_table_or_json(stored, tmp_path, capsys):
    paths = [tmp_path / "float.onnx", tmp_path / "coarse.onnx"]
    for path, step in zip(paths, (1e-6, COARSE), strict=True):
        path.write_bytes(network(step=step))
    arguments = ["eval", *map(str, paths), f"--card={stored}"]
    assert main(arguments) == 0
    table, err = capsys.readouterr()
    assert err == ""
    for word in ("mAP50", "VOC mAP50", "agree %", "coarse.onnx", " boxes", "17 images of tiny"):
        assert word in table
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["models"][0]["mAP"]["value"] > 0


ZOO = {"fastestdet": (0.3567, 0.1907), "mobilenetv2-yolov3-nano": (0.3674, 0.1637)}


@pytest.mark.zoo
@pytest.mark.parametrize("name", ZOO)
def test_real_networks_reach_the_figures_of_their_cards(zoo, name):
    folder = zoo / "detection" / name
    card = read(folder / "zoo.toml")
    assert (card.float32.mAP50, card.float32.mAP) == ZOO[name]
    (score,) = evaluate([folder / "model.onnx"], card).models
    assert score.mAP50.value == pytest.approx(card.float32.mAP50, abs=1e-4)
    assert score.mAP.value == pytest.approx(card.float32.mAP, abs=1e-4)


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_find_the_same_to_the_last_digit(stored, shards, monkeypatch):
    monkeypatch.setattr("spiq.evaluation.shards.opened", opened_here(InHere()))
    models = [network(step=1e-6), network(step=COARSE)]
    whole = evaluate(models, stored, batch=3)
    divided = evaluate(models, stored, batch=3, division=Division(shards=shards))
    for one, other in zip(whole.models, divided.models, strict=True):
        times = {"runtime_seconds": one.runtime_seconds, "images_per_second": one.images_per_second}
        assert dataclasses.replace(other, **times) == one
    assert divided.images == 17
