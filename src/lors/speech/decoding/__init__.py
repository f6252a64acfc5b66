"""Decoding speech with Whisper: one plan of batches and one loop guard, two engines to choose from."""
