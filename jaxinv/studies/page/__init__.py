"""The page: every claim, its figure, its measured number and whether it held."""
