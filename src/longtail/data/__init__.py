"""Data sets: sources, splits, imposed long tails, decoding, augmentation, loading, diagnosis."""
