"""Tools of others, attached to the service. Nothing else depends on them."""
