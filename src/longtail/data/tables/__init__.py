"""Manifests: a table whose rows are images."""
