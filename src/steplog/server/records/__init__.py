"""What a batch holds: how its records are encoded, and what they say about their run. Pure."""
