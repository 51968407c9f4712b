"""The tasks: classification, detection, segmentation.

classification, detection, segmentation    a task each
confusion                                  what masks are counted by
order                                      classes that a network has in another order
"""
