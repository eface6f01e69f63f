"""What a manifest says for report and card."""

from __future__ import annotations

from stillwatch.artifact.manifest import Manifest
from stillwatch.calibration.conformal import finest_rate, threshold
from stillwatch.calibration.contamination import estimated_rate
from stillwatch.evaluation.card import CardFacts
from stillwatch.evaluation.report import CalibrationFacts, RateThreshold

RATES = (0.0001, 0.001, 0.01, 0.05, 0.1)


def calibration_facts(manifest: Manifest) -> CalibrationFacts:
    """Thresholds at the usual rates, as far as the calibration rows support them."""
    calibration = manifest.calibration
    finest = finest_rate(calibration)
    rate = max(manifest.alert_rate, finest)
    return CalibrationFacts(
        rows=calibration.rows,
        alert_rate=rate,
        threshold=threshold(calibration, rate),
        finest_rate=finest,
        approximate=calibration.approximate,
        estimated_rate=None if calibration.normal else estimated_rate(rate),
        table=tuple(RateThreshold(rate=r, threshold=threshold(calibration, r)) for r in RATES if r >= finest),
    )


def card_facts(manifest: Manifest) -> CardFacts:
    """What the model card says of the graph."""
    layout = manifest.layout
    return CardFacts(
        num=layout.num,
        num64=layout.num64,
        txt=layout.txt,
        time=layout.time,
        booleans=tuple(column.name for column in manifest.schema.features if column.kind == "boolean"),
        thresholds=calibration_facts(manifest).table,
        opset=manifest.opset,
        version=manifest.writer,
    )
