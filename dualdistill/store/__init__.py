"""Files, records and their provenance."""
