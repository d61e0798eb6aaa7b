"""The width-free engine: layer products of any width, by the few directions that their training meets."""
