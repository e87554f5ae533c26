"""The store in one SQLite file. All statements are here."""
