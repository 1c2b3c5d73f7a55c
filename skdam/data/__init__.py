"""Datasets, batches and samplers."""
