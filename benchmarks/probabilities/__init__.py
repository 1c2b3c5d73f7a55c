"""Probabilities and out-of-bag scores."""
