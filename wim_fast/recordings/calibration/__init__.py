"""A reader for each format of calibrated cameras."""
