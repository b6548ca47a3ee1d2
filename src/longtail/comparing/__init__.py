"""Many trainings on the same data, and what can be said of them."""
