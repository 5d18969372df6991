"""The compiled pass of the plain lane: from the bytes of lines to typed cells, in one pass."""
