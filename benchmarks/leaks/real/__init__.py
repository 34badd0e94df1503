"""Programs that leak because of a real library, at its faulty version from PyPI."""
