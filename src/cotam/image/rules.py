"""Rules of the table of models: a kind, and its parameters, become an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cotam.image import sizes, tilings
from cotam.image.sizes import Seen

__all__ = ["KINDS", "Rule", "rule"]


class Rule(Protocol):
    """A kind of rule with its parameters."""

    def see(self, width: int, height: int) -> Seen:
        """Size that the model sees, and visual tokens, of an image of ``width`` × ``height`` pixels."""
        ...


def rule(parameters: Mapping[str, Any]) -> Rule:
    """Build the rule of an entry such as ``{"kind": "grid", "cell": 48, "budget": 280}``."""
    rest = {name: value for name, value in parameters.items() if name not in ("kind", "send")}
    built: Rule = KINDS[parameters["kind"]](**rest)
    return built


KINDS: dict[str, Any] = {
    "keep": sizes.Keep,
    "box": sizes.Box,
    "area": sizes.Area,
    "gpt-tiles": sizes.GptTiles,
    "gpt-patches": sizes.GptPatches,
    "claude-patches": sizes.ClaudePatches,
    "gemini-crops": sizes.GeminiCrops,
    "patch-rows": sizes.PatchRows,
    "native-patches": sizes.NativePatches,
    "multiples": sizes.Multiples,
    "grid": sizes.Grid,
    "padded-grid": sizes.PaddedGrid,
    "squeeze": sizes.Squeeze,
    "canvases": tilings.Canvases,
    "stretched-tiles": tilings.StretchedTiles,
    "padded-tiles": tilings.PaddedTiles,
    "slices": tilings.Slices,
    "crops": tilings.Crops,
    "overlapping-crops": tilings.OverlappingCrops,
    "enlarged-tiles": tilings.EnlargedTiles,
}
"""Name in ``models.json`` → class, whose fields are the parameters there."""
