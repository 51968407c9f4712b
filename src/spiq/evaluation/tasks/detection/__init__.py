"""Detection: boxes from a network's outputs, and their mean average precision.

task, samples                        the task, and its images
decode, settings                     boxes from outputs, as a card says it
anchor_free, anchored                the kinds of heads
boxes, scores, nms                   what they have in common
truth, labelled, yolo_files          labelled boxes
matching, precision, disagreement    which are right, how precise that is, how far networks differ
"""

from spiq.evaluation.tasks.detection.decode import KINDS
from spiq.evaluation.tasks.detection.disagreement import disagreement
from spiq.evaluation.tasks.detection.task import prepare

__all__ = ["KINDS", "disagreement", "prepare"]
