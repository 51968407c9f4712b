"""Sweeps: many networks by many methods at many bit widths, measured and remembered.

cells       what is asked for, and the key under which a result is remembered
measures    what is kept of a cell
store       one JSON file per cell, in
places      a folder, or anything that fsspec reaches
messages    what a job is asked to do, and what it tells
worker      quantizes and measures some cells of one network: a job
run         what is missing, and in which order
summary     what was found, and the best of it
"""
