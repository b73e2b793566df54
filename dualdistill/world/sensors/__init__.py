"""The sensor rig, and the rendering of its images and point clouds."""
