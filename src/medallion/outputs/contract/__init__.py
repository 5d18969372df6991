"""Files for other tools that repeat the event contract, generated from `contract.py`."""
