"""Dynamic quantization: ranges of activations measured as the network runs.

The range of each input of each layer is that of the numbers at hand, so nothing has to be known of
it beforehand; what is integer ends with each layer. See :mod:`spiq.emit.dynamic` for how
it is written, and why so.

This is the strongest form of it that we know, so that it is a fair one to compare with. Weights are
those of ``static``: one scale per output channel, rounded to nearest, biases corrected. (Tools that
write dynamic models leave biases as they are. MobileNetV1 0.25 then classifies 53.7 % of 300 images
right, with correction 57.3 %, in float 58.0 %.)

The range is that of a whole batch: to measure accuracy, evaluate one image at a time.
"""

from spiq.methods.method import Method

METHOD = Method(name="dynamic", dynamic=True)
