"""Sweeps: grids of runs, the digests that name their cells, and the store that keeps what is finished."""
