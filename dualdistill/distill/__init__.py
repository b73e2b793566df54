"""Distillation methods: one file each with one subclass of `base.Distiller`, registered by file name.

`terms/` holds the loss terms that they are made of, `alignment/` the adapters between the two networks' maps.
"""
