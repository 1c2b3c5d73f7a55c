"""The AUC margin loss, the classification losses, and their composition."""
