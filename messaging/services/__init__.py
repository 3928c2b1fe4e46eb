"""Verbs of chat, the only place that writes: conversations, messages, files, presence, notices, retention."""
