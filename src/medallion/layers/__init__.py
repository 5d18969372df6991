"""The stages of the pipeline: bronze, staging, transform, snapshots."""
