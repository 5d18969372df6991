"""The live dashboard: its sources, its page, and the server that serves it."""
