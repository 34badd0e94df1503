"""Programs that leak nothing, and look as if they did."""
