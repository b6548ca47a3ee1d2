"""Losses other than rectification, each usable alone."""
