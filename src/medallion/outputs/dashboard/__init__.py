"""The live dashboard: what is read, what is shown, and the server that shows it."""
