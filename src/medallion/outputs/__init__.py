"""What people see of gold: the dashboard, templates for BI tools, and exports."""
