"""Larger tables."""
