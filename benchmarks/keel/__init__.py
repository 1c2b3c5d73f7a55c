"""A hundred small imbalanced data sets."""
