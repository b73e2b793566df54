"""What may be written in YAML, and what a run is: settings, profiles, rows, specs."""
