"""Optimizers, schedules and batches by name, the step sizes that suit them, and the builder that takes all of it."""
