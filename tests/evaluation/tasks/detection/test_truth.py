import json

import numpy as np
import pytest
from tiny_detection import make_images, make_truth, write_card

from spiq.errors import CardError, ConfigError
from spiq.evaluation import read
from spiq.evaluation.tasks.detection import truth
from spiq.evaluation.tasks.detection.samples import samples

Image = pytest.importorskip("PIL.Image")

CROWDED = {
    "images": [{"id": 5, "file_name": "b.png"}, {"id": 1, "file_name": "a.png"}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}],
    "annotations": [
        {"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        {"image_id": 5, "category_id": 1, "bbox": [0, 0, 2, 2]},
        {"image_id": 77, "category_id": 1, "bbox": [0, 0, 2, 2]},
    ],
}
FILES = 'layout = "coco"\nimages = "pictures"\nannotations = "truth.json"'


def coco(tmp_path, described, pictures, *, preprocess='resize = "exact"', dataset=FILES, decode=""):
    """A COCO folder with these annotations and pictures, and its card."""
    folder = tmp_path / "data" / "pictures"
    folder.mkdir(parents=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / name)
    (tmp_path / "data" / "truth.json").write_text(json.dumps(described))
    return write_card(tmp_path, dataset=dataset, preprocess=preprocess, decode=decode)


def test_coco_boxes_in_the_order_of_the_ids(tmp_path):
    first, second = truth.read(read(coco(tmp_path, CROWDED, {})))
    assert (first.name, second.name) == ("a.png", "b.png")
    assert first.boxes.shape == (0, 4)
    np.testing.assert_array_equal(second.boxes, [[1, 2, 4, 6], [0, 0, 2, 2]])
    assert second.labels.tolist() == [1, 0]  # in the order of the categories' ids
    assert second.crowd.tolist() == [True, False]
    assert not second.difficult.any()


def test_class_names_say_which_class_is_which(tmp_path):
    path = coco(tmp_path, CROWDED, {}, decode='class_names = ["cat", "dog"]')
    assert truth.read(read(path))[1].labels.tolist() == [0, 1]


VOC_OBJECT = """
    <object><name>{}</name><difficult>{}</difficult>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>6</ymax></bndbox></object>
"""


def voc(tmp_path, objects, *, names=("one", "two")):
    root = tmp_path / "data"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    listed = "".join(f"{name} -1\n" for name in names)
    (root / "ImageSets" / "Main" / "trainval.txt").write_text(listed)
    for index, name in enumerate(names):
        body = "".join(VOC_OBJECT.format(*entry) for entry in objects)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{body}</annotation>")
        pixels = np.full((6, 5), 40 * index + 40, np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
    return write_card(
        tmp_path,
        dataset='layout = "voc"\nsplit = "trainval"',
        preprocess='resize = "exact"',
        decode='class_names = ["dog", "cat"]',
    )


def test_voc_boxes(tmp_path):
    card = read(voc(tmp_path, [("cat", 0), ("dog", 1)]))
    first, second = truth.read(card)
    assert (first.name, second.name) == ("one.jpg", "two.jpg")
    np.testing.assert_array_equal(first.boxes, [[0, 1, 3, 6]] * 2)
    assert first.labels.tolist() == [1, 0]
    assert first.difficult.tolist() == [False, True]
    total, images = samples(card)
    assert total == 2
    assert [int(sample.image.mean().round()) for sample in images] == [40, 80]


def test_voc_classes_are_known_by_name(tmp_path):
    with pytest.raises(CardError, match=r"one.xml: not VOC annotations: class 'cow' is none"):
        truth.read(read(voc(tmp_path, [("cow", 0)])))


def test_voc_has_20_classes(tmp_path):
    path = voc(tmp_path, [("cow", 0)])
    path.write_text(path.read_text().replace('class_names = ["dog", "cat"]', ""))
    with pytest.raises(CardError, match="the network has 2 classes, VOC 20"):
        truth.read(read(path))


@pytest.mark.parametrize("resize", ["exact", "letterbox"])
@pytest.mark.parametrize("size", [(40, 24), (15, 36), (5, 6)])
def test_points_of_the_input_lie_where_they_were_in_the_picture(tmp_path, size, resize):
    width, height = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    images = [{"id": 0, "file_name": "x.png"}, {"id": 1, "file_name": "y.png"}]
    pictures = {
        name: np.round(255 * values).astype(np.uint8)
        for name, values in (("x.png", x / width), ("y.png", y / height))
    }
    described = {**CROWDED, "images": images, "annotations": []}
    card = read(coco(tmp_path, described, pictures, preprocess=f'resize = "{resize}"'))
    _, found = samples(card)
    for axis, sample in enumerate(found):
        # Each pixel's value says which place of the picture it shows.
        for row, column in np.ndindex(6, 5):
            point = ((column + 0.5) / 5, (row + 0.5) / 6)
            places = np.array(point) * sample.label.scale + sample.label.offset
            if not ((places > 0) & (places < size)).all():
                assert sample.image[row, column] == 114
                continue
            shown = sample.image[row, column, 0] / 255 * size[axis]
            assert abs(shown - places[axis]) < 0.06 * size[axis]


def test_boxes_are_in_the_pixels_that_the_annotations_mean(tmp_path):
    described = {**CROWDED, "images": [{"id": 5, "file_name": "a.png", "width": 80, "height": 48}]}
    path = coco(tmp_path, described, {"a.png": np.zeros((24, 40), np.uint8)})
    _, found = samples(read(path))
    assert next(found).label.scale == (80, 48)


def test_stored_images_take_the_sizes_of_the_annotations(stored):
    total, found = samples(read(stored), limit=12)
    every = list(found)
    assert total == len(every) == 12
    images = make_images(17)
    for index, sample in enumerate(every):
        np.testing.assert_array_equal(sample.image, images[index])
        assert (sample.label.scale, sample.label.offset) == ((100, 60), (0, 0))
        assert sample.label.truth.name == f"{index}.png"
        assert len(sample.label.truth.labels) == 3


def test_a_picture_that_cannot_be_decoded_is_told(tmp_path):
    path = coco(tmp_path, CROWDED, {"a.png": np.zeros((6, 5), np.uint8)})
    (tmp_path / "data" / "pictures" / "b.png").write_bytes(b"no picture")
    good, bad = samples(read(path))[1]
    assert good.image is not None and bad.image is None
    assert "b.png: cannot be decoded" in bad.problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": None}, "not COCO annotations"),
        ({"categories": [{"id": 3, "name": "cat"}]}, "1 categories, but the network has 2 classes"),
        (
            {"annotations": [{"image_id": 5, "category_id": 4, "bbox": [0, 0, 1, 1]}]},
            "image 'b.png': a wrong box or size: .*category 4 is none",
        ),
        (
            {"annotations": [{"image_id": 5, "category_id": 3, "bbox": [0, 0, 1]}]},
            "image 'b.png': a wrong box or size",
        ),
        ({"images": []}, "the annotations in .* are of 0 images"),
    ],
)
def test_wrong_annotations_are_refused(tmp_path, change, message):
    with pytest.raises(CardError, match=message):
        truth.read(read(coco(tmp_path, {**CROWDED, **change}, {})))


def test_annotations_are_needed(tmp_path):
    path = coco(tmp_path, CROWDED, {}, dataset='layout = "coco"')
    with pytest.raises(CardError, match="lacks 'annotations'"):
        truth.read(read(path))
    path = coco(tmp_path / "other", CROWDED, {}, dataset=FILES.replace("truth", "lost"))
    with pytest.raises(CardError, match=r"lost\.json: cannot read the annotations"):
        truth.read(read(path))


def test_stored_images_need_original_sizes(stored):
    path = stored.parent / "data" / "truth.json"
    described = make_truth(make_images(17), (100, 60))
    del described["images"][0]["width"]
    path.write_text(json.dumps(described))
    with pytest.raises(CardError, match=r"image '16\.png' lacks width and height"):
        truth.read(read(stored))


def test_a_missing_part_is_told(stored):
    (stored.parent / "data" / "b.npz").unlink()
    with pytest.raises(CardError, match="holds 10 images, but the annotations are of 17"):
        list(samples(read(stored))[1])


def test_cutting_out_the_centre_is_refused(tmp_path):
    path = coco(tmp_path, CROWDED, {}, preprocess='resize = "shorter"\nresize_to = 8')
    with pytest.raises(CardError, match="'shorter' cuts objects off"):
        samples(read(path))


def test_limit_is_at_least_1(stored):
    with pytest.raises(ConfigError, match="limit is 0"):
        samples(read(stored), limit=0)
