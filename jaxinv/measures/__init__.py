"""What is measured: the objective, metrics and their records, and what a recorded curve says."""
