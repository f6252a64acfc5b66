"""A study's jobs, and what carries them out."""
