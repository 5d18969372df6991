"""Questions to the warehouse of a home: what is allowed, and a socket for other processes.

DuckDB lets one process open a file for writing, and then no other process may read it. So whoever
holds the warehouse answers the questions of the others.
"""
