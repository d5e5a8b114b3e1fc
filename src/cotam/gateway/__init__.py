"""HTTP proxies for images between clients and models: ``cotam serve`` and ``cotam edge``.

::

    client ─► cotam edge ─► (few bytes) ─► cotam serve ─► model server

    server.py           the process that listens
    app.py              routes, and what they are made of
    limits.py           limits and defaults

    guard.py            around all routes: access, limits, log, metrics
    paths.py            the normal form of a path
    access_tokens.py    the gateway's own tokens
    refusal.py          errors in the form of each API
    exchange.py         what is recorded of a request
    log.py              lines of JSON on standard error
    bodies.py           bodies in memory, and their Content-Encoding

    relay.py            a request to the upstream, with other media in it, and the answer back
    upstream.py         the connection to the upstream, and proxies of the environment
    upstream_kind.py    what the upstream is: a gateway, or a known model server
    body_stream.py      a body whose files become base64 as they are sent

    json_body.py        the JSON of a request
    parts.py            where media are in the JSON of each API
    media.py            data URLs, formats and sizes of images
    request_options.py  quality, size and model that a client asks for

    converter.py        what the three converters share:
    for_model.py        serve: .cotam becomes PNG
    to_cotam.py         edge --gateway: images and videos become .cotam
    for_api.py          edge --upstream: images within the limits of a hosted API
    byte_budget.py      how far images go down in quality
    cache.py            results in memory

    send_once.py        both ends of the link: each image crosses it once
    link.py             the body of a request on the link: text, new files, SHA-256 of all
    store.py            files by SHA-256, within their owner
    patch_format.py     an image as the rectangles that differ from an earlier one
    changed_areas.py    which rectangles differ
    patch_encoder.py    images of a conversation, as patches where that is smaller

    single_image.py     /v1/cotam/encode and decode
    compare.py          /v1/cotam/compare: bytes that other codecs take to come as near
    page/               what a browser shows at /
"""
