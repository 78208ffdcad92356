"""What was filmed: cameras, images, masks, and one reader per format."""
