"""Objects of other frames that are pasted into the clouds a teacher is trained on."""
