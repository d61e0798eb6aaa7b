"""Training: the update, exact reductions, the engines that carry it out, and one run."""
