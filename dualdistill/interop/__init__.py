"""Import checkpoints that other code bases have released."""
