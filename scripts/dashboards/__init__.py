"""Grafana's dashboards, as code: `scripts/gen-dashboards` writes them into `deploy/grafana/dashboards/`."""
