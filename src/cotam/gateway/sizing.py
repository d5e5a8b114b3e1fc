"""The model that a request names, and what it sees of images: ``--for auto``."""

from __future__ import annotations

import logging
from threading import Lock

from cotam.gateway.jobs import AUTO, NONE, Job, Wish
from cotam.image import models
from cotam.image.models import Model

__all__ = ["is_fit", "model_for", "named"]

_LOG = logging.getLogger("cotam.gateway")
_MOST_NAMES = 1000
_lock = Lock()
_told: set[str] = set()


def is_fit(name: str) -> bool:
    """Whether a name can stand in ``--for`` and ``X-Cotam-For``."""
    return name in (AUTO, NONE) or models.find(name) is not None


def model_for(wish: Wish, job: Job) -> Model | None:
    """The model whose size images get; None leaves them. An unknown name is logged once."""
    if wish.fit is None or wish.fit == NONE:
        return None
    if wish.fit != AUTO:
        return models.find(wish.fit)
    if not job.model:
        return None
    found = models.find(job.model)
    if found is None:
        _tell(job.model)
    return found


def named(model: Model, detail: str | None) -> str:
    """The name of a model for `cotam.encode`, with the level of detail if it knows that."""
    level = (detail or model.detail).lower().removeprefix("media_resolution_")
    return f"{model.name}:{level}" if level != "auto" and level in model.details else model.name


def _tell(name: str) -> None:
    with _lock:
        if name in _told or len(_told) >= _MOST_NAMES:
            return
        _told.add(name)
    fields = {"model": name[:200], "reason": models.unknown(name[:200])}
    _LOG.warning("unknown model: its images keep their size", extra={"fields": fields})
