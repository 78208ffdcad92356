"""Do the cameras fit the masks, and each other?"""
