"""What every layer may use: errors, progress, atomic files, the cache folder, downloads."""
