"""The four parts of X3KD and the operations on boxes that the first one needs."""
