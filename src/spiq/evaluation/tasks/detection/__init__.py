"""Detection: boxes from a network's outputs, and their mean average precision."""

from spiq.evaluation.tasks.detection.decode import KINDS
from spiq.evaluation.tasks.detection.disagreement import disagreement
from spiq.evaluation.tasks.detection.evaluate import evaluate
from spiq.evaluation.tasks.detection.view import View, detections

__all__ = ["KINDS", "View", "detections", "disagreement", "evaluate"]
