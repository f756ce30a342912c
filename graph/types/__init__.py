"""The types of the schema; `from_domain` is the seam to the domain."""
