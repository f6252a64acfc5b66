"""The search of a merge's settings."""
