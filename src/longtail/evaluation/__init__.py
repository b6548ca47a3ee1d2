"""From scores to figures: metrics, intervals, and the results document."""
