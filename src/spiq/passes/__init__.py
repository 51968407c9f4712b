"""Rewrites that leave the network's function as it is, one family per file."""
