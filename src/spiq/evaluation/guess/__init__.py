"""A card from a network and a folder: what they are taken for, and what that follows from.

card                       the card, and what was guessed on the way
folder, known, pictures    what the folder is, by its names
network, decode            what the network is, and how its outputs are read
preprocessing, trial       what numbers pixels become, by the file and by trying
values                     what was found, as values
"""
