"""Checkpoints as bytes on disk: find them, read them lazily, write them atomically, change their layout."""
