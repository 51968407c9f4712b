"""Detection: boxes from a network's outputs, and their mean average precision."""

from spiq.evaluation.tasks.detection.decode import KINDS
from spiq.evaluation.tasks.detection.disagreement import disagreement
from spiq.evaluation.tasks.detection.task import prepare

__all__ = ["KINDS", "disagreement", "prepare"]
