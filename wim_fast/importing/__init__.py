"""Other recordings made into scenes, and what is checked and shown on the way."""
