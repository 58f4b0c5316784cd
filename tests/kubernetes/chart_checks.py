"""To come."""

PARTS = []
