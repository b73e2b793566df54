"""Trained networks run for figures that show more than results contain."""
