"""Run a picklable function over samples: inline or in processes, in order, a bounded number in flight."""
