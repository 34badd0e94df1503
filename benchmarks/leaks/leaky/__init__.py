"""Programs that leak tasks, each modelled on a public bug."""
