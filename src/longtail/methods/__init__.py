"""Methods: one file for each row of the comparison table."""
