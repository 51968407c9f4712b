"""Commented cards to start from, one for each task."""

from importlib.resources import files

from spiq.errors import ConfigError
from spiq.evaluation.cards.read import TASKS


def template(task: str) -> str:
    """The card of ``task`` as TOML text.

    Raises:
        ConfigError: There is no such task.
    """
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")
    return (files(__name__) / f"{task}.toml").read_text(encoding="utf-8")
