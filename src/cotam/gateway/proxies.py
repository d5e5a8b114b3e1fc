"""The proxy that the environment names for an address, checked before it is used."""

from __future__ import annotations

import ipaddress
import os
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["is_loopback", "proxy_for"]

_SCHEMES = ("http", "https", "socks5", "socks5h")


def is_loopback(host: str) -> bool:
    """Whether a host's name is this machine's own."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback


def proxy_for(address: str) -> str | None:
    """The proxy for an http or https address: that of its scheme, else ALL_PROXY; None goes directly.

    NO_PROXY is heeded, and this machine is never reached through a proxy. Raises ValueError for a proxy that
    cannot be used: one line that names the variable.
    """
    target = urlsplit(address)
    host = target.hostname or ""
    if is_loopback(host) or host in ("0.0.0.0", "::") or proxy_bypass(host) or _is_excluded(host):
        return None
    proxies = getproxies()
    for kind in (target.scheme, "all"):
        if proxies.get(kind):
            given = proxies[kind]
            return _checked(given if "://" in given else f"http://{given}", _variable(kind))
    return None


def _is_excluded(host: str) -> bool:
    """NO_PROXY with a network in it, such as 10.0.0.0/8, which `proxy_bypass` does not know."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for item in listed.split(","):
        try:
            if address in ipaddress.ip_network(item.strip().strip("[]"), strict=False):
                return True
        except ValueError:
            continue
    return False


def _variable(kind: str) -> str:
    """The variable that `getproxies` took it from: that in small letters comes first."""
    name = f"{kind}_proxy"
    if os.environ.get(name):
        return name
    return next((key for key, value in os.environ.items() if value and key.lower() == name), name.upper())


def _checked(proxy: str, variable: str) -> str:
    try:
        parts = urlsplit(proxy)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"the environment variable {variable} is not an address: {error}") from error
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(
            f"the environment variable {variable} cannot be used: {_shown(parts)!r} is not an address of "
            f"{', '.join(_SCHEMES)}. Correct or unset it, or add the host to NO_PROXY"
        )
    if parts.scheme.startswith("socks") and not find_spec("socksio"):
        raise ValueError(
            f"the environment variable {variable} names a SOCKS proxy: pip install 'httpx2[socks]', "
            "unset it, or add the host to NO_PROXY"
        )
    return proxy


def _shown(parts: SplitResult) -> str:
    """Without name and password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
