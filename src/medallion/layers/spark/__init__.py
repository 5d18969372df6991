"""Bronze on a Spark cluster: the same cleaner in Python workers, over many raw objects at once."""
