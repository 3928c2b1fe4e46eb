"""Benchmarks: what the service does a second, beside the usual way of doing it, counted at the far end."""
