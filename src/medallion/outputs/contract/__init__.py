"""The contract as other tools read it: every file of the checkout that repeats `contract.py`."""
