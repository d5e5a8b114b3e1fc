"""Metrics of decoded images."""
