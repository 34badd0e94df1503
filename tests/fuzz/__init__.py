"""Fuzz targets: one for each reader of foreign bytes (targets.py). `make fuzz` looks for new inputs."""
