"""Kept for imports."""

from tiny_models import red_model, scene

__all__ = ["red_model", "scene"]
