"""Measures of how good masks are: arrays in, numbers out."""
