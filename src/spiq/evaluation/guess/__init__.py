"""A card from a network and a folder: what they are taken for, and what that follows from."""
