"""The content of a lake: keys, receipts and codecs."""
