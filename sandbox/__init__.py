"""Pretend providers for development and tests: they take everything, send nothing, and show what they caught."""
