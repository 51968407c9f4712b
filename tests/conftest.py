"""Puts this folder on the import path: the tests share ``small_networks``."""
