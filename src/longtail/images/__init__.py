"""Images: decoded, augmented, normalised, loaded in batches."""
