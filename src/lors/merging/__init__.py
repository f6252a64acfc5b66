"""The mathematics of merging and its engine: tensors and names, nothing of speech."""
