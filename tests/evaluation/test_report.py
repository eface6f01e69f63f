import json

import numpy as np
import pytest

from stillwatch import evaluation as ev
from stillwatch.errors import ArtifactError

from .sample import sample_report


def test_json_gives_the_report_back():
    report = sample_report(rows=3_000)
    assert ev.decode_report(ev.encode_report(report)) == report
    assert ev.decode_report(ev.encode_report(ev.Report())) == ev.Report()


def test_page_is_a_function_of_the_json():
    report = sample_report(rows=3_000)
    assert ev.render_html(ev.decode_report(ev.encode_report(report))) == ev.render_html(report)


def test_recipes_may_hold_numpy_values():
    recipe = {"k": np.int64(5), "weights": np.array([0.5, 1.0]), "kind": np.float32}
    data = ev.encode_report(ev.Report(teacher=ev.TeacherFacts(name="knn", recipe=recipe)))
    assert json.loads(data)["teacher"]["recipe"]["weights"] == [0.5, 1.0]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"rows": 3}', b"\xff\xfe"])
def test_damaged_json_is_an_artifact_error(data):
    with pytest.raises(ArtifactError, match=r"report\.json"):
        ev.decode_report(data)


def test_thresholds_name_the_rate_that_was_set():
    table = (ev.RateThreshold(rate=0.001, threshold=9.0), ev.RateThreshold(rate=0.05, threshold=4.0))
    facts = ev.CalibrationFacts(rows=10, alert_rate=0.01, threshold=6.0, table=table)
    assert [(t.rate, t.threshold) for t in facts.thresholds()] == [(0.05, 4.0), (0.01, 6.0), (0.001, 9.0)]
