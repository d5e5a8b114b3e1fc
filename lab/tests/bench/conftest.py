"""Without the packages of the extra [bench] there is nothing to test here."""

import importlib.util

NEEDED = ("markdown_it", "matplotlib", "scipy", "tqdm")

if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]
