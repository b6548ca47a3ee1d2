"""Samplers: which images make a batch."""
