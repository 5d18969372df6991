"""Commands that are stopped before any one of their changes to a home."""
