"""What a user writes: a script, a strategy, and the demo that runs them on this machine."""
