import msgspec

from stillwatch import evaluation as ev
from stillwatch.evaluation.comparison import comparison
from stillwatch.evaluation.wording import change_words, findings, grade_rules, verdict

from .sample import sample_report

replace = msgspec.structs.replace


def _grades(report):
    return {finding.question: finding.grade for finding in findings(report)}


def test_words_follow_the_figures():
    report = sample_report(rows=4_000)
    assert "faithful stand-in" in verdict(report)
    assert "82 times faster" in verdict(report)
    poor = replace(report, fidelity=replace(report.fidelity, spearman=0.6))
    assert "does not follow" in verdict(poor)
    assert _grades(poor)["Does it agree with its teacher?"] == "poor"
    between = replace(report, fidelity=replace(report.fidelity, top_1_percent=0.7))
    assert _grades(between)["Does it agree with its teacher?"] == "acceptable"


def test_a_student_that_loses_to_its_teacher_is_not_called_good():
    report = sample_report(rows=4_000)
    s = report.student_quality
    worse = replace(s, auroc=ev.Interval(s.auroc.value - 0.02, 0.9, 0.95))
    grade = _grades(replace(report, student_quality=worse))["Does it find the anomalies?"]
    assert grade == "acceptable"
    assert "less well than its teacher" in verdict(replace(report, student_quality=worse))


def test_a_handful_of_rows_at_the_top_is_not_judged():
    few = replace(sample_report(rows=4_000).fidelity, rows=400, top_1_percent=0.25)
    assert _grades(ev.Report(fidelity=few))["Does it agree with its teacher?"] == "good"
    many = replace(few, rows=1_000)
    assert _grades(ev.Report(fidelity=many))["Does it agree with its teacher?"] == "poor"


def test_false_alarms_are_judged_with_chance_allowed_for():
    report = sample_report(rows=4_000)
    for interval, grade in (
        (ev.Interval(0.05, 0.045, 0.055), "poor"),
        (ev.Interval(0.05, 0.009, 0.11), "good"),
        (ev.Interval(0.018, 0.015, 0.02), "acceptable"),
    ):
        seen = replace(report, student_quality=replace(report.student_quality, alert_rate=interval))
        assert _grades(seen)["How often is an alarm false?"] == grade
    assert "more false alarms" in verdict(
        replace(
            report,
            student_quality=replace(report.student_quality, alert_rate=ev.Interval(0.05, 0.045, 0.055)),
        )
    )


def test_a_slow_student_is_called_slow():
    report = sample_report(rows=4_000)
    slow = replace(report, student_speed=ev.Speed(one_p50_us=2_000.0, one_p99_us=2_500.0))
    assert "2.2 times slower" in verdict(slow)
    assert _grades(slow)["How fast is it?"] == "poor"


def test_nothing_is_promised_where_nothing_is_known():
    empty = ev.Report()
    assert verdict(empty).startswith("This model was distilled from its teacher. Whether")
    assert [finding.grade for finding in findings(empty)] == ["unknown"]
    assert comparison(empty) == ()
    unlabelled = sample_report(labels=False, rows=4_000)
    assert "not known" in verdict(unlabelled)
    assert _grades(unlabelled)["How often is an alarm false?"] == "plain"


def test_fidelity_is_never_called_accuracy():
    report = sample_report(rows=4_000)
    text = " ".join(
        [verdict(report), str(grade_rules()), *(f.text + f.unit for f in findings(report))]
    ).lower()
    assert "accuracy" not in text
    assert "performance" not in text


def test_rules_name_the_limits():
    text = str(grade_rules())
    for limit in ("0.95", "0.85", "80 %", "1.25"):
        assert limit in text


def test_the_verdict_says_what_the_alarm_found():
    report = sample_report(rows=4_000)
    q = report.student_quality
    assert f"caught {q.recall.value * 100:.0f} % of the anomalies" in verdict(report)
    silent = replace(report, student_quality=replace(q, precision=None, recall=ev.Interval(0.0, 0.0, 0.1)))
    assert "raised no alarm at all" in verdict(silent)


def test_poor_detection_comes_with_what_may_help():
    report = sample_report(rows=4_000)
    poor = replace(report.student_quality, auroc=ev.Interval(0.55, 0.5, 0.6))
    texts = {
        regime: next(
            f.text
            for f in findings(replace(report, student_quality=poor, regime=regime))
            if "AUROC" in f.text
        )
        for regime in ("all", "normal")
    }
    assert "train_on='normal'" in texts["all"]
    assert "train_on='normal'" not in texts["normal"]
    assert "known=" in texts["normal"]
    assert "What may help" not in str(findings(report))


def test_a_difference_is_called_chance_only_where_it_may_be():
    report = sample_report(rows=4_000)

    def said(low: float, value: float, high: float) -> str:
        interval = ev.Interval(value, low, high)
        return change_words(
            replace(report, quality_change=ev.Change(auroc=interval, average_precision=interval))
        )

    assert "Chance alone" in said(-0.01, 0.0, 0.01)
    assert "a little poorer" in said(-0.02, -0.01, -0.001)
    assert "is poorer" in said(-0.2, -0.1, -0.05)
    assert "better" in said(0.01, 0.02, 0.03)
    assert change_words(ev.Report()) == ""
