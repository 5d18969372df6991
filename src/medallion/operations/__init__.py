"""What keeps a home healthy: status, freshness, doctor, rebuild, replay and erasure."""
