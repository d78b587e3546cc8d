"""What lies outside the process, tried before a node is built."""
