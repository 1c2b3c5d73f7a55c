"""Real tables of numbers, categories, text and gaps."""
