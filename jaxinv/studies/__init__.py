"""Studies: experiments with claims, from their grids to figures, verdicts and one page."""
