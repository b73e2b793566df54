"""Distillation methods: one file, one subclass of `base.Distiller`, registered by file name.

The other modules here are mathematics that methods share: regions, mfd, crd, relations, inner_depth,
response and the alignments.
"""
