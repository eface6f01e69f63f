"""Distilled detectors with the conventions of other libraries; the only place where a score changes its sign."""
