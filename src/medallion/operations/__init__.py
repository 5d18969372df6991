"""Maintenance of a home: status, freshness, doctor, rebuild, replay and erasure."""
