"""The stages from raw to gold: bronze, staging, transform, snapshots."""
