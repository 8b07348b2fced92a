"""Looks at alarms: asks Prometheus, and remembers what Alertmanager says."""
