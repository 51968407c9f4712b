"""Evaluations divided between processes: the same figures to the last digit, whatever happens."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from engine_in_process import InHere, opened_here
from spiq.engine.job import Ended
from spiq.errors import ConfigError, ModelError
from spiq.evaluation import Division, Result, evaluate

BODIES = {
    "classification": """
        rows = Constant <value = int64[2] {0, 12}> ()
        logits = Reshape <allowzero = 0> (input, rows)
    """,
    "segmentation": "logits = Identity (input)",
}
ROUNDED = """
    step = Constant <value = float {0.3} > ()
    steps = Div (exact, step)
    whole = Round (steps)
    logits = Mul (whole, step)
"""


def networks(task: str) -> list[bytes]:
    """One that answers with its pixels, and one that rounds them."""
    shape = "N,12" if task == "classification" else "N,3,2,2"
    body = BODIES[task]
    return [
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 17]> tiny (float[N,3,2,2] input) => '
            f"(float[{shape}] logits) {{ {text} }}"
        ).SerializeToString()
        for text in (body, body.replace("logits", "exact") + ROUNDED)
    ]


def figures(result: Result) -> tuple[object, ...]:
    """All that does not tell how long it took."""
    still = {"runtime_seconds": 0, "images_per_second": 0}
    scores = [replace(score, **still) for score in result.models]
    return scores, result.images, result.batch, result.skipped, result.warnings


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> InHere:
    engine = InHere()
    monkeypatch.setattr("spiq.evaluation.shards.opened", opened_here(engine))
    return engine


@pytest.fixture(params=["classification", "segmentation"])
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def card(make_card, task: str):
    decode = "" if task == "classification" else "classes = 3"
    labels = {"labels": np.random.default_rng(1).integers(0, 3, (9, 2, 2))}
    return make_card(
        (9, 9, 9), task=task, decode=decode, arrays={} if task == "classification" else labels
    )


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 99])
@pytest.mark.parametrize(("batch", "limit"), [(1, None), (4, None), (4, 21), (64, 10)])
def test_figures_are_the_same_to_the_last_digit(
    here, card, task: str, shards: int, batch: int, limit: int | None
) -> None:
    models = networks(task)
    whole = evaluate(models, card, batch=batch, limit=limit)
    told = []
    divided = evaluate(
        models, card, batch=batch, limit=limit, division=Division(shards=shards),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert figures(divided) == figures(whole)
    assert whole.models[1].comparison.snr_db["logits"] > 0
    assert told[-1] == (whole.images, whole.images)
    batches = -(-whole.images // batch)
    assert len(here.done) == min(shards, batches)


def test_pictures_that_cannot_be_decoded_are_told_in_their_order(here, tmp_path) -> None:
    image = pytest.importorskip("PIL.Image")
    for number in range(12):
        path = tmp_path / f"class-{number % 4}" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        if number in (0, 5, 6):
            path.write_bytes(b"no picture")
        else:
            image.new("RGB", (2, 2), (20 * number, 9, 200 - number)).save(path)
    (tmp_path / "card.toml").write_text(
        'name = "folders"\ntask = "classification"\n[dataset]\ndir = "."\nlayout = "imagenet"\n'
        '[input]\nwidth = 2\nheight = 2\n[preprocess]\nresize = "exact"\n'
    )
    models = networks("classification")
    whole = evaluate(models, tmp_path / "card.toml", batch=2)
    divided = evaluate(models, tmp_path / "card.toml", batch=2, division=Division(shards=5))
    assert len(whole.skipped) == 3
    assert figures(divided) == figures(whole)


def test_what_a_shard_raises_is_raised(here, card, task: str, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ModelError("model 2: it is too hot")

    whole = networks(task)
    monkeypatch.setattr("spiq.evaluation.shards.open_all", refuse)
    with pytest.raises(ModelError, match=r"^model 2: it is too hot$"):
        evaluate(whole, card, division=Division(shards=2))
    monkeypatch.setattr("spiq.evaluation.shards.open_all", lambda *_, **__: 1 / 0)
    with pytest.raises(ConfigError, match=r"images 0 to \d+ could not be evaluated: .*division"):
        evaluate(whole, card, division=Division(shards=2))


@pytest.mark.parametrize(("cause", "tries"), [("died", 2), ("lost", 5)])
def test_a_shard_is_begun_again(here, card, task: str, cause: str, tries: int) -> None:
    models = networks(task)
    here.ends = [Ended("it fell", cause)] * (tries - 1)
    divided = evaluate(models, card, batch=4, division=Division(shards=3))
    assert figures(divided) == figures(evaluate(models, card, batch=4))
    here.ends = [Ended("it fell", cause)] * 3 * tries
    with pytest.raises(ConfigError, match="could not be evaluated: it fell"):
        evaluate(models, card, batch=4, division=Division(shards=3))


def test_refuses(card, task: str) -> None:
    with pytest.raises(ConfigError, match="shards is 0"):
        evaluate(networks(task), card, division=Division(shards=0))
    with pytest.raises(ConfigError, match="there is no engine 'dask'"):
        evaluate(networks(task), card, division=Division(on="dask"))


@pytest.mark.process
def test_in_processes_of_its_own(make_card) -> None:
    card, models = make_card((9, 9)), networks("classification")
    divided = evaluate(models, card, batch=4, division=Division(shards=2))
    assert figures(divided) == figures(evaluate(models, card, batch=4))
