"""What all pictures have in common: how they look, and how they become a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiq.errors import ConfigError

if TYPE_CHECKING:
    import altair as alt

SUFFIXES = (".png", ".svg")

COLOURS = ("#2563a8", "#c2571a", "#3d8a4e", "#8a4fa3", "#a8862a", "#4f7f8c", "#b03a5b", "#5c5c5c")
"""Of methods, networks and the like: told apart on paper, and by most who see few colours."""

INK, MUTED, HAIR = "#1c2733", "#5b6773", "#e3e7eb"

_PIXELS = 2.0
"""Of a PNG per unit: sharp on screens of today."""


def check(path: Path) -> None:
    """Refuse what cannot become a picture, before the work that it shows.

    Raises:
        ConfigError: It is neither PNG nor SVG by its name, or what draws is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--plot {path}: name it .png or .svg")
    try:
        import altair
        import vl_convert
    except ImportError as error:
        raise ConfigError("--plot draws with Altair: pip install 'spiq[report]'") from error
    del altair, vl_convert


def drawn(chart: "alt.TopLevelMixin", path: Path) -> bytes:
    """Return a chart as the kind of file that ``path`` names."""
    import vl_convert

    spec = _styled(chart).to_dict()
    if path.suffix.lower() == ".svg":
        text: str = vl_convert.vegalite_to_svg(spec)
        return text.encode()
    image: bytes = vl_convert.vegalite_to_png(spec, scale=_PIXELS)
    return image


def _styled(chart: Any) -> Any:
    return (
        chart.configure(background="white", font="Helvetica, Arial, sans-serif", padding=12)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=MUTED, titleColor=INK, titleFontWeight="normal", gridColor=HAIR,
            domainColor=MUTED, tickColor=MUTED, labelLimit=320,
        )
        .configure_legend(titleColor=INK, labelColor=INK, titleFontWeight="normal")
        .configure_title(color=INK, anchor="start", fontSize=13, subtitleColor=MUTED)
    )  # fmt: skip
