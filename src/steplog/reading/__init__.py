"""Reading runs: tables, histories, and what they are read from."""
