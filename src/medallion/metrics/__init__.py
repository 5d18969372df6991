"""The metrics: one definition for the dashboard, the BI templates and the docs."""
