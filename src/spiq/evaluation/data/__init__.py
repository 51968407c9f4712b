"""Labelled images, whatever their layout.

datasets, entry                  the labelled images of a card, whatever their layout
folders, masks, npz, table       the layouts: folders, masks, arrays, CSV files
pictures, preprocess, batches    from a file to the numbers that a network takes
class_names                      names of the classes of well-known data sets
"""
