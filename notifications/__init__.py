"""What is sent: channels, providers, credentials, records. A plain package that holds small Django apps."""
