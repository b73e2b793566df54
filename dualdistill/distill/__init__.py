"""Distillation methods: one file, one subclass of `base.Distiller`, registered by file name (dualdistill.registry).

The other modules here are mathematics that methods share: regions, mfd, crd and the alignments.
"""
