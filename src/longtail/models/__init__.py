"""Backbones and heads; every model gives `ModelOutput(logits, features, vector)`."""
