"""What is kept on disk: written whole or not at all, found again by a key, shared by several processes."""
