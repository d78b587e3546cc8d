"""A node: built, started, ready, restricted, stopped."""
