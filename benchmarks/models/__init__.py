"""The models that take part: ours and their rivals."""
