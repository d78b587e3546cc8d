"""Keys in Redis that are ours or that we remove: the lease, a trader's books, old snapshots."""
