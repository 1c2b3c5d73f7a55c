"""The time of training steps, scores, default fits and imports."""
