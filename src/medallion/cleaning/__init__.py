"""The cleaner: pure functions over the contract."""
