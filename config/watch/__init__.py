"""What is looked at while a node runs."""
