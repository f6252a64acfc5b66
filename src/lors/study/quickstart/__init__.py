"""The whole way once, for somebody with a laptop."""
