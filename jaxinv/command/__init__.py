"""The command line. Global settings (devices, caches) are made here and nowhere else."""
