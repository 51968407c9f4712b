"""Puts this folder on the import path, and marks the tests that quantize networks end to end."""

from pathlib import Path

import pytest

END_TO_END = (
    "test_pipeline.py", "test_fallback.py", "test_spellings_end_to_end.py", "test_demo.py",
    "test_docs_plans.py", "test_docstrings.py", "cli", "emit", "evaluation", "inspection",
    "methods", "planning/choose", "planning/plan", "runtime", "sweep",
)  # fmt: skip
"""Files and folders whose tests run networks in the runtime, most of them more than once."""

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(HERE)
        if any(path.is_relative_to(place) for place in END_TO_END):
            item.add_marker("end_to_end")
