"""HTTP proxies for images between clients and models: ``cotam serve`` and ``cotam edge``.

::

    client ─► cotam edge ─► (few bytes) ─► cotam serve ─► model server

    the process            server, app, limits
    around all routes      guard, paths, access_tokens, refusal, exchange, log, bodies
    to the upstream        relay, upstream, upstream_kind
    the JSON of a request  json_body, parts, media, request_options
    conversion of media    converter, threads, cache; serve: for_model; edge --gateway: to_cotam;
                           edge --upstream: for_api, byte_budget
    each image sent once   send_once, link, store; patches: patch_format, changed_areas, patch_encoder
    without a model        single_image, compare, page/
"""
