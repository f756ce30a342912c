"""Bringing a database up to date, under a lock, in one transaction."""
