"""From metrics.json of many runs to the tables and charts that people read."""
