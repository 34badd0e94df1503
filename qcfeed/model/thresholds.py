"""The values from which a figure is a finding, shared by `status`, `diagnose`, `growth`, `top`, alerts and panels.

Times are in seconds; shares are fractions of 1. Values that only one rule needs stand beside that rule.
"""

from __future__ import annotations

MEMORY_SHARE = 0.85
"""Share of the memory limit. The incident was noticed at 0.89."""

MEMORY_LEFT_S = 4 * 3600
"""Growing memory that reaches its limit later than this is not a finding."""

MEMORY_LEFT_URGENT_S = 30 * 60
"""Memory that reaches its limit within this time pages the person on call."""

CERTIFICATE_LEFT_S = 7 * 86_400
"""A certificate that expires within this time was not renewed as planned."""

LOOP_STUCK_S = 1.0
"""An event loop that has not run for this long is stuck, not slow."""
