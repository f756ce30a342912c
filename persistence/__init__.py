"""What Freshtape remembers, on SQLite or PostgreSQL by the same code."""
