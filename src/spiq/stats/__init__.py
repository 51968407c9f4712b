"""Moments and bounds of every channel, from normalization layers and closed-form rules."""
