"""Verbs: load, let a noun decide, store, commit. Nothing here decides."""
