"""Imbalanced sets of images."""
