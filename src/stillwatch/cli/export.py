from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cli import options
from stillwatch.cli.show import result


def export(
    model: options.Model,
    c: Annotated[
        Path | None,
        typer.Option(
            "--c",
            metavar="FOLDER",
            help="Write one C99 file and a header, for where no Python runs: microcontrollers, gateways.",
            show_default=False,
        ),
    ] = None,
    mlflow: Annotated[
        Path | None,
        typer.Option(
            "--mlflow", metavar="FOLDER", help="Write a model folder that MLflow loads.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="With --c: name of the files, and of the functions in them.")
    ] = "model",
    alert_rate: options.AlertRate = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Write a model in a form that other tools take.

    The C scores one row in a few microseconds, needs no memory but the stack, and holds the alarm threshold of --alert-rate:

        stillwatch export model --c firmware --alert-rate 0.001

    For everything that runs onnxruntime, `model.onnx` of the model folder is the form: it takes raw values as they are.
    """
    from stillwatch.export.c import export_c
    from stillwatch.export.mlflow import export_mlflow

    if (c is None) == (mlflow is None):
        raise typer.BadParameter("name one of --c FOLDER and --mlflow FOLDER.")
    found: dict[str, Any]
    if c is not None:
        written = export_c(model, c, name=name, alert_rate=alert_rate, overwrite=overwrite)
        found = {
            "files": [str(written.source), str(written.header)],
            "stack": written.stack,
            "threshold": written.threshold,
            "alert_rate": written.alert_rate,
        }
        shown = (
            f"{written.source}\n{written.header}\n"
            f"About {written.stack:,} bytes of stack a call; at alert rate {written.alert_rate:.3g} a row alarms from score "
            f"{written.threshold:.4f}."
        )
    else:
        assert mlflow is not None  # noqa: S101 - one of the two is there
        files = export_mlflow(model, mlflow, alert_rate=alert_rate, overwrite=overwrite)
        found = {"files": [str(file) for file in files]}
        shown = "\n".join(map(str, files))
    result(found, shown, json=json)
