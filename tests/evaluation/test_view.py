import json

import numpy as np
import onnx
import pytest

from spiq.errors import OutputError
from spiq.evaluation import drawing, gallery, read
from spiq.evaluation.panels import confidences, judged
from spiq.evaluation.tasks.detection.boxes import Detections
from spiq.evaluation.view import write

Image = pytest.importorskip("PIL.Image")


def network(body: str, output: str) -> bytes:
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N,3,2,2] input) => (float[{output}] output) {{ {body} }}
    """).SerializeToString()


PLAIN = network("output = Identity (input)", "N,3,2,2")
DARK = network(
    """
        limit = Constant <value = float {0.5}> ()
        output = Min (input, limit)
    """,
    "N,3,2,2",
)


@pytest.fixture
def masks(make_card):
    """Five images; DARK differs from PLAIN in as many pixels as the images' numbers say."""
    images = np.zeros((5, 2, 2, 3), np.uint8)
    images[..., 1] = 20
    for i in range(5):
        # Both channels are above the limit: the second one is the greater, the first one wins ties.
        images[i].reshape(4, 3)[:i] = (200, 250, 0)
    arrays = {"images": images, "labels": np.ones((5, 2, 2), int)}
    return read(make_card((5,), task="segmentation", arrays=arrays))


def test_masks_of_the_images_that_differ_most(masks, tmp_path):
    seen = []
    folder = tmp_path / "pictures"
    written = write([PLAIN, DARK], masks, folder, count=3, progress=lambda *done: seen.append(done))
    assert [path.name for path in written] == [
        "01-part-00-image-4.png",
        "02-part-00-image-3.png",
        "03-part-00-image-2.png",
    ]
    assert sorted(folder.iterdir()) == [*written, folder / "index.html"]
    assert seen[-1] == (5, 5)
    with Image.open(written[0]) as picture:
        pixels = np.asarray(picture)
    # Rows of panels: image, truth, both answers, the difference.
    assert pixels.shape[1] > 3 * 480 and pixels.shape[0] > 2 * 480
    shown = {tuple(map(int, color)) for color in pixels.reshape(-1, 3)[::97]}
    assert (214, 30, 30) in shown


def test_one_network_shows_the_first_images(masks, tmp_path):
    written = write([PLAIN], masks, tmp_path / "pictures", count=2)
    assert [path.name for path in written] == ["01-part-00-image-0.png", "02-part-00-image-1.png"]


def test_boxes(make_card, tmp_path):
    def boxes(score):
        return network(
            f"""
                pooled = ReduceMean <axes = [1, 2, 3], keepdims = 0> (input)
                one = Constant <value = int64[2] {{1, 2}}> ()
                column = Unsqueeze (pooled, one)
                rows = Constant <value = float[1,6,1] {{1, 1, 1, 1, {score}, 0.1}}> ()
                zero = Constant <value = float {{0.0}}> ()
                nothing = Mul (column, zero)
                output = Add (nothing, rows)
            """,
            "N,6,1",
        )

    path = make_card(
        (2,),
        task="detection",
        dataset='annotations = "boxes.json"',
        decode='kind = "yolov8"\nclasses = 2\nclass_names = ["cat", "dog"]',
    )
    (tmp_path / "images" / "boxes.json").write_text(
        json.dumps(
            {
                "images": [{"id": i, "width": 4, "height": 4} for i in range(2)],
                "annotations": [{"image_id": 0, "category_id": 1, "bbox": [0, 0, 2, 2]}],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            }
        )
    )
    written = write([boxes(0.9), boxes(0.4)], read(path), tmp_path / "pictures")
    assert len(written) == 2
    with Image.open(written[0]) as picture:
        shown = {tuple(map(int, color)) for color in np.asarray(picture).reshape(-1, 3)}
    assert drawing.color(0) in shown
    page = (tmp_path / "pictures" / "index.html").read_text()
    assert "boxes: hit, false alarm +, missed -" in page


def test_colours_tell_classes_apart():
    colors = np.array([drawing.color(c) for c in range(30)], float)
    gaps = np.abs(colors[:, None] - colors[None]).sum(axis=-1) + 1e3 * np.eye(30)
    assert gaps.min() > 20


def test_long_titles_lose_their_beginning(masks):
    image = np.zeros((2, 2, 3), np.uint8)
    panel = drawing.plain("a/very/long/path/" * 20 + "model.onnx", "", image)
    assert drawing.sheet([panel], title="", card=masks).width < 520


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.write_text("here"), "is a file: give a folder"),
        (lambda path: (path.mkdir(), (path / "a.png").touch()), "is not empty"),
    ],
)
def test_refuses_a_place_for_pictures(masks, tmp_path, prepare, message):
    prepare(tmp_path / "pictures")
    with pytest.raises(OutputError, match=message):
        write([PLAIN], masks, tmp_path / "pictures")


def test_refuses_a_folder_in_no_folder(masks, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        write([PLAIN], masks, tmp_path / "no" / "pictures")


@pytest.fixture
def classes(make_card):
    """Four images: red, green, blue, and a green one that is labelled red."""
    images = np.zeros((4, 2, 2, 3), np.uint8)
    for i, channel in enumerate((0, 1, 2, 1)):
        images[i, :, :, channel] = 200
    images[3, :, :, 0] = 190
    return read(
        make_card(
            (4,),
            arrays={"images": images, "labels": np.array([0, 1, 2, 0])},
            decode='class_names = ["red", "green", "<b>blue"]',
        )
    )


FIRST = network(
    """
        pooled = ReduceMean <axes = [2, 3], keepdims = 0> (input)
        gain = Constant <value = float[3] {9, 9, 9}> ()
        output = Mul (pooled, gain)
    """,
    "N,3",
)
REDDER = network(
    """
        pooled = ReduceMean <axes = [2, 3], keepdims = 0> (input)
        gain = Constant <value = float[3] {10, 9, 9}> ()
        output = Mul (pooled, gain)
    """,
    "N,3",
)


def test_answers_that_flipped_come_first(classes, tmp_path):
    written = write([FIRST, REDDER], classes, tmp_path / "pictures", count=2)
    assert written[0].name == "01-part-00-image-3.png"  # green by the first, red by the other
    page = (tmp_path / "pictures" / "index.html").read_text()
    assert "1 of 4 answers are others than the first network's: 0 right before, 1 right now" in page
    assert page.count("Labels and answers: ") == 2
    assert "&lt;b&gt;blue" in page and "<b>" not in page
    assert all(f'src="{path.name}"' in page for path in written)
    assert "http" not in page and "<script" not in page


def test_of_many_classes_the_confused_pairs_are_listed(classes):
    answered = [(k, (k + (k % 2),)) for k in range(60)]
    page = gallery.page(classes, ["a.onnx"], [], answered)
    assert "<th>images</th><th>label</th><th>answer</th>" in page
    assert page.count("<td>1</td>") == 20


def test_shares_are_confidences_as_they_are():
    shares = np.array([0.25, 0.75], np.float32)
    assert confidences(shares) is shares
    np.testing.assert_allclose(confidences(np.log(shares)), shares, rtol=1e-6)


def test_boxes_are_hits_false_alarms_or_missed():
    def boxes(rows, labels):
        array = np.array(rows, np.float32).reshape(-1, 4)
        ones = np.ones(len(labels), np.float32)
        return Detections(boxes=array, scores=ones, labels=np.array(labels))

    truth = boxes([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0, 0, 1])
    found = boxes([[0, 0, 10, 9], [1, 0, 10, 10], [40, 0, 50, 10]], [0, 0, 0])
    shown, kinds = judged(truth, found)
    assert kinds == ["hit", "false alarm", "false alarm", "missed", "missed"]
    assert shown.boxes[3:].tolist() == [[20, 0, 30, 10], [40, 0, 50, 10]]


def test_texts_of_boxes_do_not_cover_each_other(classes):
    image = np.zeros((100, 200, 3), np.uint8)
    rows = np.array([[50, 40, 90, 60], [52, 41, 92, 61], [54, 42, 94, 62]], np.float32)
    found = Detections(
        boxes=rows, scores=np.array([0.9, 0.8, 0.7], np.float32), labels=np.zeros(3, np.intp)
    )
    kinds = list(drawing.KINDS)
    pixels = drawing.boxes("", "", image, found, classes, kinds=kinds).pixels.reshape(-1, 3)
    areas = [int((pixels == shade).all(axis=1).sum()) for shade, _ in drawing.KINDS.values()]
    assert min(areas) > 400  # each text has its own ground
