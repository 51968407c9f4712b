"""What a quantized network is to be no worse than: a small JSON file that is committed.

    {
      "format": "spiq/baseline/1",
      "card": "pets",
      "images": 800,
      "checks": {
        "top-1 %":      {"value": 91.25, "may_lose": 0.5},
        "size, bytes":  {"value": 2319400, "may_lose": 46388}
      }
    }

``may_lose`` is how much worse a value may be, in its own unit; what is not listed is not checked.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spiq.errors import ConfigError

FORMAT = "spiq/baseline/1"

Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What one value is to be no worse than."""

    value: float
    may_lose: float
    """How much worse it may be."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The values of a network that was good enough."""

    card: str
    images: int
    checks: Mapping[str, Bound]
    """By name, in the order of the file."""


def load(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline.

    Raises:
        ConfigError: There is none, or the file is none.
    """
    where = Path(path)
    try:
        stored = json.loads(where.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{where}: cannot read the baseline: {error.strerror}: write one with --update"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not a baseline: {error}") from error
    try:
        return _of(stored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{where}: not a baseline of this format, {FORMAT} ({error!r}): write it with --update"
        ) from error


def _of(stored: Any) -> Baseline:
    if stored["format"] != FORMAT:
        raise ValueError(stored["format"])
    checks = {
        str(name): Bound(value=float(one["value"]), may_lose=float(one["may_lose"]))
        for name, one in stored["checks"].items()
    }
    return Baseline(card=str(stored["card"]), images=int(stored["images"]), checks=checks)


def text(baseline: Baseline) -> str:
    """Return a baseline as it is stored."""
    checks = {
        name: {"value": bound.value, "may_lose": bound.may_lose}
        for name, bound in baseline.checks.items()
    }
    stored = {
        "format": FORMAT, "card": baseline.card, "images": baseline.images, "checks": checks
    }  # fmt: skip
    return json.dumps(stored, indent=2, ensure_ascii=False) + "\n"
