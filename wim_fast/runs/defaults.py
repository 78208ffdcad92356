"""What is shown where the command line does not say; nothing heavy is imported here."""

LEAST_SIZE = 256  # pictures made to be looked at have at least this many pixels on their longer side
PART_PICTURE_SIZE = 384  # of pictures that show which part is which
FPS = 15.0  # of videos
SAMPLE = 10  # frames that are evaluated where none are named, spread evenly
