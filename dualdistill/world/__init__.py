"""A synthetic driving world, ray-traced from one geometry and written as a nuScenes data root.

`nuscenes/build.py` writes it, `preview.py` draws one frame of it.
"""
