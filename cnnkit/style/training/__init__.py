"""Training a network that paints in one style."""
