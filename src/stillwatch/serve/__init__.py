"""A model behind HTTP.

The way of a request, a file a step::

    protocol     bytes and deadlines of a connection (uvicorn has none)
    front        request id, token, measure, log line
    app          which path leads where
    intake       the body, within its limits
    wire/        a body becomes packed rows, an answer becomes bytes: one file a format
    batch        requests that arrive together are scored together; the one queue, bounded
    models       the models that are loaded; `reload` swaps them
"""
