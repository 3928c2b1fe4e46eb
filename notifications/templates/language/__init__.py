"""The language of templates: Liquid, made safe for words of strangers, and fast where it only fills in values."""
