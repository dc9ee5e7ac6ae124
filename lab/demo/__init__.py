"""`make demo`: the main job on screen. See __main__.py."""
