"""Which tensors and layers run on integers, and what shares a grid or a scale.

place, demand, place_dynamic    what runs on integers, and what has to be stored for it
fitness, kernels, inert         which layers can, which forms break, what never does
sharing, components, groups     what shares a grid or a scale, and what is decided apart
values                          what was decided
"""
