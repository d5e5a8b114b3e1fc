"""The way of a picture from a client to a model over HTTP: ``cotam serve`` and ``cotam edge``.

::

    client ─► cotam edge ─► (few bytes) ─► cotam serve ─► model server

    rewrite.py  the picture and video parts of a request, and the request with others in their place
    pictures.py one picture: its kind, its pixels, PNG for a model
    videos.py   one video: its kind, its sequence, its frames for a model
    convert.py  what serve and edge make of each part
    budget.py   what edge makes of them for hosted APIs: JPEG or WebP under a byte budget
    cache.py    what was made before, by content
    guard.py    token, limits, log and metrics around everything
    relay.py    the request to the upstream, its answer back unparsed
    once.py     both ends of the link: each image crosses it once
    link.py     the body of a request on the link: text, new files, SHA-256 of others
    store.py    files by SHA-256, within their owner
    patches.py  an image as the rectangles that differ from an earlier one
    changes.py  which rectangles differ
    patching.py images of a conversation, as patches where that is smaller
    plain.py    /v1/cotam/encode and decode
    compare.py  /v1/cotam/compare: bytes of other codecs at equal nearness, for the page
    features.py how near for a model: what a vision encoder sees of a picture
    app.py      routes
    cli.py      options
    page/       what a browser shows at /
"""
