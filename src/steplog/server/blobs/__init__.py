"""Where a server keeps contents, by their hash: a folder, or object storage."""
