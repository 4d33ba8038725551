"""Real services for tests: each starts on a free port of this machine, is waited for, and is stopped by its process."""
