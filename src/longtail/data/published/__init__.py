"""Published data sets, in the files that their authors distribute."""
