"""A trained run for other programs: surface meshes, rigged and animated models, splats, a page to send.

Everything starts from two things in the rest frame, one of the frames trained on: the surface (`surface.py`), and
the rig that moves it (`rig.py`). World frame and units, until a writer puts them into its own.
"""
