"""Strategies to try a node with."""
