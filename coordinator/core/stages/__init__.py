"""The shape of a rollout: which stages it has, and why the present one does not go on."""
