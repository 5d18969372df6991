"""How reports, tables and progress look in a terminal."""
