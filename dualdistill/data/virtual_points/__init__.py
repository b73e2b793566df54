"""Points that instance masks add to a LiDAR cloud."""
