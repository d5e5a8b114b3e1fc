"""The connection to the upstream: addresses, proxies, headers, credentials, redirects and errors."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from starlette.datastructures import MutableHeaders

from cotam.gateway.access_tokens import CREDENTIALS, TOKEN_HEADER, Tokens
from cotam.gateway.json_body import StreamedBody
from cotam.gateway.paths import Api, normal_path
from cotam.gateway.refusal import RefusedError

__all__ = ["RawHeaders", "Upstream", "end_to_end", "is_loopback", "proxy_for"]

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Lower-case names, and values, as bytes."""

CONNECT_SECONDS = 10

_TCP = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}
_PROBES = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), _TCP[name]) for name in _TCP if hasattr(socket, name)),
]
"""Options of sockets, as in Anthropic's client: probes after a minute keep NAT and firewalls from dropping a
connection that waits for a long answer."""

_HOP = (
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
_CHANGED = ("host", "content-length", "content-encoding", "expect")
"""Headers of a request that the gateway sets itself or has processed."""

_TLS_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
"""Environment variables that name files of TLS."""

_KEY_HEADERS: dict[Api, str] = {
    "openai": "authorization",
    "anthropic": "x-api-key",
    "gemini": "x-goog-api-key",
}


def _origin(address: SplitResult) -> str:
    """Return scheme, host and port, without user name and password."""
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


def end_to_end(given: RawHeaders) -> MutableHeaders:
    """Return a copy of the headers that are not for one connection alone (RFC 9110, section 7.6.1)."""
    headers = MutableHeaders(raw=[(name.lower(), value) for name, value in given])
    if "transfer-encoding" in headers:  # which takes precedence
        del headers["content-length"]
    named = ",".join(headers.getlist("connection")).split(",")
    for name in (*_HOP, *named):
        del headers[name.strip()]
    return headers


_CALL = re.compile(r"/(chat/completions|completions|responses|messages|embeddings)/*\Z")


class Upstream:
    """The server to which requests are forwarded.

    Raises ValueError for an address that is not valid, or a proxy or certificate file of the environment that
    cannot be used.

    Parameters
    ----------
    address : base URL, as for clients of OpenAI; /v1 is added if it has no path
    key : sent in place of the client's key, in the header that the client or its API uses
    token : token for a CoTAM gateway
    silence : seconds without data after which a request is aborted
    connections : largest number of open connections
    """

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        token: str | None = None,
        silence: float = 600,
        connections: int = 64,
    ) -> None:
        try:
            parsed = urlsplit(address)
            _ = parsed.port
        except ValueError as error:
            raise ValueError(f"{address!r} is not an address: {error}") from error
        is_address = parsed.scheme in ("http", "https") and parsed.hostname and not re.search(r"\s", address)
        if not is_address or parsed.query or parsed.fragment:
            raise ValueError(f"{address!r} is not an address such as http://localhost:8000/v1")
        if call := _CALL.search(address):
            raise ValueError(f"{address!r} ends in the path of a call: give {address[: call.start()]!r}")
        self.name = _origin(parsed)
        self._base = address.rstrip("/") + ("" if parsed.path.strip("/") else "/v1")
        self._root = re.sub(r"/v[0-9]+[a-z]*[0-9]*$", "", self._base)
        self._key, self._token, self._silence = key, token, silence
        timeout = httpx2.Timeout(silence, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        # Servers drop idle connections, uvicorn after 5 s: close them earlier, or a request may be lost.
        limits = httpx2.Limits(max_connections=connections, keepalive_expiry=2)
        # Given a transport, the client does not look for proxies in the environment.
        try:
            proxy = proxy_for(address)
            transport = httpx2.AsyncHTTPTransport(limits=limits, proxy=proxy, socket_options=_PROBES)
        except OSError as error:
            named = ", ".join(name for name in _TLS_FILES if name in os.environ)
            if not named:
                raise
            raise ValueError(f"a file that {named} names cannot be used: {error}") from error
        self._via = f" through the proxy {_origin(urlsplit(proxy))}" if proxy else ""
        # Cookies belong to clients: none are kept, so that no client gets those of another.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self.client = httpx2.AsyncClient(timeout=timeout, transport=transport, cookies=cookies)

    def url(self, path: str, query: str = "") -> str:
        """Return the address of the upstream for a normal path of a client.

        /v1/… is appended to the base. Another version, such as Gemini's /v1beta/…, replaces the version at
        the end of the base.
        """
        version, _, rest = path.removeprefix("/").partition("/")
        base = self._base if version == "v1" else f"{self._root}/{version}"
        return f"{base}/{rest}" + (f"?{query}" if query else "")

    def headers(self, given: RawHeaders, api: Api, tokens: Tokens | None) -> list[tuple[bytes, bytes]]:
        """Return the headers of the client, unchanged except for those of this connection or this gateway.

        Headers that carry one of the gateway's own ``tokens`` are left out.
        """
        headers = end_to_end(given)
        credentials = [name for name in CREDENTIALS if name in headers]
        for name, value in headers.items():
            ours = name in _CHANGED or name.startswith("x-cotam-")
            replaced = self._key is not None and name in credentials
            if ours or replaced or (tokens and tokens.is_token_header(name, value)):
                del headers[name]
        headers.setdefault("accept-encoding", "identity")  # answers are not decompressed on their way
        if self._key:
            usual = _KEY_HEADERS[api]
            header = usual if usual in credentials or not credentials else credentials[0]
            headers[header] = f"Bearer {self._key}" if header == "authorization" else self._key
        if self._token:
            headers[TOKEN_HEADER] = self._token
        return headers.raw

    async def open(
        self, method: str, url: str, headers: RawHeaders, body: bytes | StreamedBody
    ) -> httpx2.Response:
        """Send a request; the body of the answer is not read yet.

        Raises RefusedError: 502 if the upstream cannot be reached or disconnects, 504 if it sends nothing,
        414 if the address is too long.
        """
        try:
            content: AsyncIterator[bytes] | None = None
            if body:
                # In pieces, since the transport copies what it cannot send at once.
                pieces = StreamedBody([body], []) if isinstance(body, bytes) else body
                headers, content = [*headers, (b"content-length", b"%d" % len(pieces))], aiter(pieces)
            request = self.client.build_request(method, url, headers=headers, content=content)
            return await self.client.send(request, stream=True)
        except httpx2.ConnectTimeout as error:
            message = f"the upstream {self.name} cannot be reached{self._via}: no answer"
            raise RefusedError(message, 502) from error
        except httpx2.TimeoutException as error:
            message = f"the upstream {self.name} has sent nothing for {self._silence:g} s"
            raise RefusedError(message, 504) from error
        except httpx2.InvalidURL as error:
            raise RefusedError(f"path and query cannot be sent on: {error}", 414) from error
        except (httpx2.ReadError, httpx2.WriteError) as error:
            message = f"the upstream {self.name} closed the connection without an answer"
            raise RefusedError(f"{message} to the {len(body):,} bytes of the request", 502) from error
        except httpx2.HTTPError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            invalid = isinstance(error, httpx2.RemoteProtocolError)
            problem = "gives no valid answer" if invalid else "cannot be reached"
            raise RefusedError(f"the upstream {self.name} {problem}{self._via}: {reason}", 502) from error

    def location(self, value: str, asked: str, *, takes_body: bool) -> str:
        """Rewrite the ``Location`` of an answer so that the client follows it through this gateway.

        ``asked`` is the requested address of the upstream. Raises RefusedError: 502 for a redirect to another
        server if the client would send the body of its request again (``takes_body``).
        """
        found, base = urlsplit(urljoin(asked, value)), urlsplit(self._base)
        if (found.scheme, found.netloc) == (base.scheme, base.netloc):
            path = self._client_path(found.path)
            if path is not None:
                return path + (f"?{found.query}" if found.query else "")
        if not takes_body:
            return value  # such as a file that lies elsewhere
        shown = _origin(found) + found.path
        raise RefusedError(f"the upstream {self.name} redirects to {shown}: give that server's address", 502)

    def _client_path(self, path: str) -> str | None:
        """Return the client's path for a path of the upstream; None if there is none."""
        base, root = (urlsplit(address).path for address in (self._base, self._root))
        if path.startswith(base + "/"):
            return normal_path(f"/v1/{path[len(base) + 1 :]}".encode("latin-1", "replace"))
        rest = path.removeprefix(root)
        if path.startswith(root + "/") and re.match(r"/v1(alpha|beta)[0-9]?/", rest):
            return normal_path(rest.encode("latin-1", "replace"))
        return None


# Proxies of the environment


def is_loopback(host: str) -> bool:
    """Whether a host name is that of this machine."""
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
    """Return the proxy for an http or https address: that of its scheme, else ALL_PROXY; None for no proxy.

    NO_PROXY is honoured, and this machine is never reached through a proxy. Raises ValueError, with a message
    that names the variable, for a proxy that cannot be used.
    """
    target = urlsplit(address)
    host = target.hostname or ""
    if is_loopback(host) or host in ("0.0.0.0", "::") or proxy_bypass(host) or _is_excluded(host):
        return None
    proxies = getproxies()
    for kind in (target.scheme, "all"):
        if given := proxies.get(kind):
            return _check_proxy(given if "://" in given else f"http://{given}", f"{kind.upper()}_PROXY")
    return None


def _is_excluded(host: str) -> bool:
    """Whether NO_PROXY has a network with this host, such as 10.0.0.0/8, which `proxy_bypass` ignores."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for item in listed.split(","):
        with suppress(ValueError):  # a name
            if ipaddress.ip_address(host) in ipaddress.ip_network(item.strip().strip("[]"), strict=False):
                return True
    return False


def _check_proxy(proxy: str, variable: str) -> str:
    try:
        httpx2.AsyncHTTPTransport(proxy=proxy)
        reason = "" if urlsplit(proxy).hostname else "it names no host."
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        reason = f"{error}."
    if reason:
        message = f"the environment variable {variable} cannot be used: {reason}"
        raise ValueError(f"{message} Correct or unset it, or add the host to NO_PROXY")
    return proxy
