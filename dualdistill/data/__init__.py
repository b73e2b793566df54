"""From a nuScenes root to batches: index, cache, sweeps, augmentation, depth targets, sampling.

The synthetic world and real nuScenes take the same path: nothing after the index distinguishes them.
"""
