"""Benchmarks: codecs behind one interface, sweeps, curves and reports.

::

    images ──► baselines ──► metrics ──► sweep (rows.jsonl) ──► curves ──► report (table.md, curve.svg)
"""
