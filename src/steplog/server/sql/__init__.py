"""The store in SQL: what both engines share. ``sqlite`` and ``postgresql`` have what is theirs alone."""
