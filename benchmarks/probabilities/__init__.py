"""Probabilities, and scores out of bag."""
