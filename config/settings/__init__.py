"""From the environment, files and arguments to one checked settings object; nautilus is not imported."""
