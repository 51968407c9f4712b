"""Sweeps: many networks by many methods at many bit widths, measured and remembered.

cells       what is asked for, and the key under which a result is remembered
store       one JSON file per result
measures    what of an evaluation a sweep keeps
worker      quantizes and measures some cells of one network, in a process of its own
processes   several such processes, each of which may fail
run         what is missing, in which order, and what was found

Nothing here prints; :mod:`spiq.sweep.results` holds what comes out.
"""
