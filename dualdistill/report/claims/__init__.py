"""Claims judged by the rule in config/claims.yaml."""
