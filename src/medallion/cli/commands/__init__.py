"""The verbs, a module for each kind."""
