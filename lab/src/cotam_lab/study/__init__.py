"""The distortion study: what compression does to a vision encoder's layers and to tasks of several levels.

::

    photos ──► scenes (packs with exact ground truth) ──► bench.sweep with metrics ──► findings ──► report
"""
