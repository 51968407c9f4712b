"""Labelled images, whatever their layout."""
