"""Data and models of speech: manifests, audio, fine-tuning, decoding, scores."""
