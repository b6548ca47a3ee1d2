"""Data sets: sources, manifests, splits, imposed long tails."""
