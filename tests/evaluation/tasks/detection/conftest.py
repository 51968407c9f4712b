import json
from pathlib import Path

import numpy as np
import pytest
from tiny_detection import make_images, make_truth, write_card


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A card with 17 stored images in two parts; the originals were of 100 x 60 pixels."""
    (tmp_path / "data").mkdir()
    images = make_images(17)
    np.savez_compressed(tmp_path / "data" / "a.npz", images=images[:10])
    np.savez_compressed(tmp_path / "data" / "b.npz", images=images[10:])
    truth = make_truth(images, (100, 60))
    (tmp_path / "data" / "truth.json").write_text(json.dumps(truth))
    return write_card(tmp_path, dataset='annotations = "truth.json"')
