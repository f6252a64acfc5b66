"""Whole experiments: several models trained, merged, evaluated and reported together."""
