"""Measuring: codecs behind one signature, judges, sweeps, curves and reports (extra ``[bench]``).

::

    pictures ──► baselines ──► judges ──► sweep (rows.jsonl) ──► curves ──► report (table.md, curve.svg)

Nothing of the core imports this package.
"""
