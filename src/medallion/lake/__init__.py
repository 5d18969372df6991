"""What lies where in a lake: keys, receipts and codecs."""
