"""Benchmarks of skdam against its rivals; see README.md."""
