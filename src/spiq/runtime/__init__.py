"""What opens a runtime: sessions, observation, verification.

session, opened, engines, probe           ONNX Runtime and other runtimes, opened
ports                                     what inputs take: pictures or numbers, of what shape
weights                                   arrays that it is handed beside a graph
synthetic, pictures, images, sizes        what a network is shown: synthetic pictures or real ones,
                                          of what size
unstated, observe, correlations, expose   which of its tensors are looked at, and what is seen
trials, trial_pictures                    which convention an input follows, by trying
reference, verify, layerwise, jumps,      the check of a result
kernels, scratch
agreement, snr, exponentials              how far it is from float
parts, parted_check                       large networks, a part at a time
named, timing, profile, peak              how long networks and kernels take
"""
