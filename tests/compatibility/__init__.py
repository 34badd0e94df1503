"""What the last release promised still holds (docs/reference/compatibility.md)."""
