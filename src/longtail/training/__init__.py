"""Training: the loop, its configuration, and the files it leaves."""
