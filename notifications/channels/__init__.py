"""Channels: one file per channel. A library without Django: it can be read, tested and used alone."""
