from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.errors import InputError, MissingExtraError


def serve(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...", help="Model folders, or folders of model folders.", show_default=False
        ),
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any that is free.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the token that clients must send. Or set STILLWATCH_TOKEN.",
            show_default="no token",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen at a public address without a token.")
    ] = False,
    max_rows: Annotated[int, typer.Option(min=1, help="Most rows of a request.")] = 65_536,
    max_body_mb: Annotated[int, typer.Option(min=1, help="Largest body, in megabytes.")] = 8,
    max_waiting: Annotated[int, typer.Option(min=1, help="Most requests that wait; others get 503.")] = 256,
    read_seconds: Annotated[
        float, typer.Option(min=0.1, help="For a request to arrive, from its first byte.")
    ] = 10.0,
    answer_seconds: Annotated[float, typer.Option(min=0.1, help="For its answer, from there.")] = 5.0,
    drain_seconds: Annotated[int, typer.Option(min=1, help="For the end, from SIGTERM.")] = 20,
    linger_seconds: Annotated[
        float, typer.Option(min=0, help="To go on taking requests after SIGTERM, not ready any more.")
    ] = 0.0,
    reload_seconds: Annotated[
        float, typer.Option(min=0, help="Between looks at the model folders; 0: only at SIGHUP.")
    ] = 1.0,
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Show alerts, reasons and drift live at /watch; what is confirmed there goes to this folder. Needs a token.",
            show_default="no such page",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No log line for requests that went well.")] = False,
) -> None:
    """Serve models over HTTP: Open Inference Protocol, MLflow's /invocations, Arrow, NDJSON, CSV.

    /docs of the running service shows the columns and examples; logs go to standard error, one JSON object a line:

        stillwatch serve model --port 8080
    """
    try:
        from stillwatch.serve.server import leave
        from stillwatch.serve.server import serve as run
    except ImportError as exc:
        raise MissingExtraError(exc.name or "uvicorn", "serve") from exc
    from stillwatch.serve.access import open_socket, read_token
    from stillwatch.serve.limits import Limits
    from stillwatch.serve.models import open_models
    from stillwatch.serve.watch.feedback import FeedbackFolder

    limits = Limits(
        rows=max_rows,
        body_bytes=max_body_mb << 20,
        decoded_bytes=max(Limits.decoded_bytes, 16 * max_body_mb << 20),
        held_bytes=max(Limits.held_bytes, 16 * max_body_mb << 20),
        waiting=max_waiting,
        read_seconds=read_seconds,
        answer_seconds=answer_seconds,
        drain_seconds=drain_seconds,
    )
    token = read_token(token_file, os.environ)
    if watch is not None and token is None:
        raise InputError(
            "--watch shows values of rows, and no token is set. Set STILLWATCH_TOKEN or --token-file; "
            "`openssl rand -hex 32` makes one."
        )
    feedback = None if watch is None else FeedbackFolder(watch)
    loaded = open_models(models)
    run(
        loaded,
        open_socket(host, port, guarded=insecure or token is not None),
        limits=limits,
        token=token,
        reload_seconds=reload_seconds,
        linger_seconds=linger_seconds,
        log_requests=not quiet,
        feedback=feedback,
    )
    leave()
