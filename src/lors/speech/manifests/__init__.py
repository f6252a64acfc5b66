"""Manifests at the size of real corpora: checked, counted, divided, and turned into other tools' formats and back."""
