"""File formats of metrics: what is exported, and what is imported."""
