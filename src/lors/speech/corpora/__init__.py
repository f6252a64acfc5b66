"""One reader per corpus: what a corpus ships, read into utterances."""
