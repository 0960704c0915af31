"""The data steps: per sample, and per data set."""
