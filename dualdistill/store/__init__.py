"""Files, records and where they came from."""
