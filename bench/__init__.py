"""Measurements behind docs/performance.md."""
