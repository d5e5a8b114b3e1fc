"""Writes tests/image/models_vectors.json, which packages in other languages test themselves with.

``python tests/models_vectors.py``, after a change of the table of models.
"""

from __future__ import annotations

import json
from pathlib import Path

from cotam.image import models

FILE = Path(__file__).parent / "image" / "models_vectors.json"
SIZES = (
    (64, 48),
    (320, 240),
    (448, 448),
    (768, 1024),
    (1000, 700),
    (1280, 720),
    (1920, 1080),
    (1170, 2532),
    (4032, 3024),
    (1775, 1775),
    (12_000, 300),
)


def vectors() -> str:
    """A line for each image and level of detail of each row."""
    rows = []
    for model in models.all_models():
        for level in model.details:
            cases = []
            for size in SIZES:
                seen = model.see(*size, level)
                sent = model.size_for(*size, level)
                case = {"image": size, "sees": seen.size, "tokens": seen.tokens, "sent": sent}
                cases.append(f"  {json.dumps(case)}")
            head = json.dumps({"name": model.name, "detail": level})[:-1]
            rows.append(f'{head}, "cases": [\n' + ",\n".join(cases) + "\n]}")
    return "[\n" + ",\n".join(rows) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(vectors(), encoding="utf-8")
