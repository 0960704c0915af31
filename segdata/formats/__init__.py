"""Readers and writers of annotation formats: one file a format."""
