"""What skorch asks for: the net, its epochs and its steps."""
