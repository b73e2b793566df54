"""What stands and moves in the world."""
