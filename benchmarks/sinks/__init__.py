"""Far ends: a mail server and an HTTP provider that are fast, count exactly, and can be told to misbehave."""
