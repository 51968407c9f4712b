"""The page in a browser: it says no error, asks for nothing, fits and can be used by keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Opened, chromium, opened
from reported import report_on
from reported_networks import with_false_statistics

pytest.importorskip("vl_convert", reason="no vl-convert: pip install 'spiq[report]'")

from spiq.report.diagnosis import diagnose
from spiq.report.drawn import Drawn, drawn
from spiq.report.facts import Channels, Facts, InputFacts, LayerFacts, OutputFacts
from spiq.report.page import page

pytestmark = pytest.mark.process

EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def kit() -> Drawn:
    return drawn()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, kit: Drawn) -> Path:
    """A report of a network with something to mend in it, and a name that is code."""
    folder = tmp_path_factory.mktemp("page")
    model = with_false_statistics()
    model.graph.node[0].name = EVIL
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        reported = report_on(model)
    assert reported.findings
    out = folder / "report.html"
    out.write_text(page(reported.facts, reported.findings, kit), "utf-8")
    return out


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_it_draws_and_fits(browser: Any, path: Path, width: int, scheme: str) -> None:
    with opened(browser, path, width=width, scheme=scheme) as found:
        _open_all(found)
        assert found.said == []
        assert found.asked == [path.resolve().as_uri()]
        assert found.overflow <= 0
        for chart in ("ranking", "column"):
            assert found.page.locator(f"#chart-{chart} svg path").count() > 3
        colour = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (colour == "rgb(255, 255, 255)") == (scheme == "light")


def test_charts_follow_from_light_to_dark(browser: Any, path: Path) -> None:
    with opened(browser, path) as found:
        label = found.page.locator("#chart-column svg text").first
        colours = []
        for scheme in ("light", "dark"):
            found.page.emulate_media(color_scheme=scheme)
            colours.append(label.evaluate("node => getComputedStyle(node).fill"))
        assert len(set(colours)) == 2


def test_layers_open_by_keyboard(browser: Any, path: Path) -> None:
    with opened(browser, path) as found:
        summary = found.page.locator("details.layer summary").first
        summary.focus()
        outline = summary.evaluate("node => getComputedStyle(node).outlineStyle")
        found.page.keyboard.press("Enter")
        assert found.page.locator("details.layer[open]").count() == 1
        assert outline != "none" or summary.evaluate("node => node.matches(':focus-visible')")


def test_a_click_on_the_column_opens_the_layer(browser: Any, path: Path) -> None:
    with opened(browser, path) as found:
        found.page.locator("#chart-column svg path[aria-roledescription=bar]").first.click()
        found.page.wait_for_selector("details.layer[open]")
        assert found.page.locator("details.layer[open]").get_attribute("data-id") == "0"


def test_layers_are_put_in_order(browser: Any, path: Path) -> None:
    with opened(browser, path) as found:
        found.page.select_option("#order", "place")
        places = found.page.locator(".layers > li").evaluate_all(
            "items => items.map(item => Number(item.dataset.place))"
        )
        assert places == sorted(places)


def test_what_is_named_is_text(browser: Any, path: Path) -> None:
    with opened(browser, path) as found:
        assert EVIL in found.page.locator(".layers").inner_text()
        assert found.page.locator("img").count() == 0


def test_a_resnet50_takes_less_than_2_mb(tmp_path: Path, kit: Drawn, browser: Any) -> None:
    """As many layers and channels as ResNet-50 has, no two numbers alike."""
    facts = _like_resnet50()
    out = tmp_path / "report.html"
    out.write_text(page(facts, diagnose(facts), kit), "utf-8")
    assert out.stat().st_size < 2e6
    with opened(browser, out, width=360) as found:
        _open_all(found)
        assert found.said == []
        assert found.overflow <= 0


def _open_all(found: Opened) -> None:
    """Open each layer, and wait for its charts."""
    for layer in found.page.locator("details.layer").all():
        layer.evaluate("node => { node.open = true }")
    found.page.wait_for_function(
        "[...document.querySelectorAll('.inside .chart')].every(one => one.querySelector('svg'))"
    )


def _like_resnet50() -> Facts:
    sizes = [(3, 64)]
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, before = 64 << stage, 64 if stage == 0 else 128 << stage
        for block in range(blocks):
            source = before if block == 0 else 4 * inner
            sizes += [(source, inner), (inner, inner), (inner, 4 * inner)]
            sizes += [(source, 4 * inner)] * (block == 0)
    layers = tuple(_layer(index, *size) for index, size in enumerate([*sizes, (2048, 1000)]))
    assert len(layers) == 54
    return Facts(
        model="resnet50.onnx",
        quantized="resnet50.int8.onnx",
        command=("spiq", "quantize", "resnet50.onnx"),
        method="spiq",
        target="onnxruntime",
        bits="W8A8",
        bytes_before=100_000_000,
        bytes_after=26_000_000,
        layers=layers,
        outputs=(OutputFacts(name="logits", snr_db=21.0, low=17.0, high=27.0),),
        inputs=(InputFacts(name="x", low=-2, high=2, pictured=(-1, 1), said="", sure=True),),
    )


def _layer(index: int, reads: int, writes: int) -> LayerFacts:
    rng = np.random.default_rng(index)
    low, high, scale, doubt = rng.uniform(0.1, 9, (4, reads))
    return LayerFacts(
        name=f"/layer{index // 12}/layer{index // 12}.{index % 12}/conv{index % 3}/Conv",
        operator="Conv",
        on_integers=True,
        shape=(reads, writes),
        parameters=reads * writes,
        macs=reads * writes * 196,
        statistics="norm",
        bits=8,
        expected_cost=float(rng.uniform()),
        seen_cost=float(rng.uniform()),
        clipped=0.0,
        expected_snr_db=35.0,
        snr_db=30.0,
        float_ms=2.0,
        ms=1.0,
        channels=Channels(
            tensor=f"/layer{index}/Relu_output_0",
            low=-low,
            high=high,
            scale=scale,
            doubt=doubt,
            grid_low=-9.0,
            grid_high=9.0,
            bits=8,
            seen_low=-low / 2,
            seen_high=high / 2,
        ),
    )
