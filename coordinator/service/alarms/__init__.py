"""Alarms: what operators may ask for about them, and the alerts that Alertmanager tells."""
