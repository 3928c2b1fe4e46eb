"""Providers: one file per vendor. A library without Django: it can be read, tested and used alone."""
