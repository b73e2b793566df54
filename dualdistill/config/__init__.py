"""The configuration in YAML and its types: settings, profiles, rows, and the spec of a run."""
