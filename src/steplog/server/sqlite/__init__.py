"""The store in one SQLite file: what PostgreSQL does otherwise. The statements are in ``sql``."""
