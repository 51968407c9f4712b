import weakref

import numpy as np
import pytest

from spiq.errors import CardError, ConfigError
from spiq.evaluation.cards.read import Input, read
from spiq.evaluation.data import datasets, npz
from spiq.evaluation.data.batches import batches
from spiq.evaluation.data.preprocess import input_range, to_input


def stored(card):
    """All images and labels, read without the module under test."""
    parts = [np.load(part) for part in sorted(card.dataset.dir.iterdir())]
    images = np.concatenate([part["images"] for part in parts])
    labels = np.concatenate([part["labels"] for part in parts])
    for part in parts:
        part.close()
    return images, labels


@pytest.mark.parametrize("size", [1, 3, 4, 50])
@pytest.mark.parametrize("limit", [None, 1, 7, 100])
def test_batches_are_the_parts_in_order(make_card, size, limit):
    card = read(make_card((5, 1, 4)))
    images, labels = stored(card)
    made = list(batches(datasets.samples(card, limit=limit), card.input, size=size))
    found = [sample for batch in made for sample in batch.samples]
    np.testing.assert_array_equal(np.stack([sample.image for sample in found]), images[:limit])
    np.testing.assert_array_equal([sample.label for sample in found], labels[:limit])
    inputs = np.concatenate([batch.inputs for batch in made])
    np.testing.assert_array_equal(inputs, to_input(images[:limit], card.input))
    assert [len(batch.samples) for batch in made[:-1]] == [size] * (len(made) - 1)
    assert datasets.count(card, limit=limit) == len(labels[:limit])


def test_n_of_the_card_is_the_number_of_images(make_card):
    card = read(make_card((5, 4), dataset="n = 6"))
    assert len(list(datasets.samples(card))) == 6


def test_one_part_in_memory_at_a_time(make_card, monkeypatch):
    card = read(make_card((4, 4, 4)))
    load, parts, most = npz.array, [], 0

    class Part(np.ndarray):
        """An array that weak references can follow."""

    def watched(part, key):
        nonlocal most
        array = load(part, key)
        if key == "images":
            array = array.view(Part)
            parts.append(weakref.ref(array))
            most = max(most, sum(part() is not None for part in parts))
        return array

    monkeypatch.setattr(npz, "array", watched)
    for _ in batches(datasets.samples(card), card.input, size=3):
        pass
    assert (len(parts), most) == (3, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": np.zeros((3, 4, 4, 3), np.uint8)},
            r"images are uint8 \(3, 4, 4, 3\), but .*card",
        ),
        ({"images": np.zeros((3, 2, 2, 3), np.float32)}, "images are float32"),
        ({"labels": np.zeros(2, np.int64)}, r"labels are int64 \(2,\): 3 images need as many"),
        ({"labels": np.zeros(3, np.float32)}, "labels are float32"),
        ({"labels": np.array([None] * 3)}, "not a readable .npz file"),
    ],
)
def test_refuses_a_part_unlike_the_card(make_card, arrays, message):
    card = read(make_card((3,), arrays=arrays, dataset="n = 2"))
    with pytest.raises(CardError, match=message):
        list(datasets.samples(card))


def test_refuses_too_few_images(make_card):
    card = read(make_card((5, 4), dataset="n = 10"))
    with pytest.raises(CardError, match=r"n = 10, but .* holds 9 images"):
        datasets.count(card)


def test_refuses_a_folder_without_parts(make_card):
    with pytest.raises(CardError, match=r"no file in .* matches images = 'no-\*\.npz'"):
        datasets.count(read(make_card(dataset='images = "no-*.npz"')))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_refuses_a_broken_part(make_card, content):
    card = read(make_card((2,)))
    (card.dataset.dir / "part-00.npz").write_bytes(content)
    with pytest.raises(CardError, match=r"part-00\.npz: not a readable \.npz file"):
        datasets.count(card)


def test_refuses_a_part_without_labels(make_card):
    card = read(make_card((2,)))
    np.savez(card.dataset.dir / "part-00.npz", images=np.zeros((2, 2, 2, 3), np.uint8))
    with pytest.raises(CardError, match="it has no array 'labels', only images"):
        datasets.count(card)


def test_refuses_a_limit_below_1(make_card):
    with pytest.raises(ConfigError, match="limit is 0: it must be at least 1"):
        list(datasets.samples(read(make_card()), limit=0))


SPECS = {
    "mean and std": Input(
        width=2, height=2, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    ),
    "BGR, divided after": Input(
        width=2,
        height=2,
        channels="BGR",
        mean=(110.0, 108.0, 105.0),
        std=(72.0, 73.0, 70.0),
        divide_after=255.0,
    ),
    "grey": Input(width=2, height=2, channels="GRAY", mean=(0.0,), std=(255.0,)),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_preprocessing_pixel_by_pixel(spec):
    channels = spec.shape[0]
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 2, channels), np.uint8)
    result = to_input(images, spec)
    assert result.dtype == np.float32 and result.flags.c_contiguous
    for n, y, x, c in np.ndindex(images.shape):
        pixel = float(images[n, y, x, channels - 1 - c if spec.channels == "BGR" else c])
        expected = (pixel - spec.mean[c]) / spec.std[c] / spec.divide_after
        assert result[n, c, y, x] == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_input_range_is_what_the_extreme_pixels_become(spec):
    images = np.stack([np.full((2, 2, spec.shape[0]), pixel, np.uint8) for pixel in (0, 255)])
    ends = to_input(images, spec)[:, :, 0, 0].T
    np.testing.assert_allclose(np.array(input_range(spec)), ends, rtol=1e-5, atol=1e-7)
