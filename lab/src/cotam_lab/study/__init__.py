"""The distortion study: what compression does to a vision encoder's layers, and to tasks that lean on them.

::

    photos ──► scenes (packs with exact ground truth) ──► bench.sweep with judges ──► findings ──► page

Nothing of the core imports this package.
"""
