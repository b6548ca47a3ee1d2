"""Decision rules: from features or logits to scores whose largest decides."""
