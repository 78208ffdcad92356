"""A reader for each layout in which recordings lie on disk."""
