"""What was filmed: one pipeline from files of any layout to cameras, frames and a stream of colour and mask."""
