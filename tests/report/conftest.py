"""Reports of small networks, the same however busy the machine is."""

from functools import partial

import pytest

from spiq.report import layers
from spiq.report.injected import costs


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure what the error of every tensor costs: there is more than enough time for it."""
    monkeypatch.setattr(layers, "costs", partial(costs, seconds=60))
