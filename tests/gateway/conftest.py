"""Without the packages of the extra [serve], and a client, there is nothing to test here."""

import importlib.util

NEEDED = ("httpx2", "openai", "prometheus_client", "starlette", "uvicorn")

if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]
