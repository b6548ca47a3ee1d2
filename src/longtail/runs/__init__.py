"""Whole jobs: train, evaluate, predict; and the folder of a run."""
