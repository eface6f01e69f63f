"""What is watched beside scoring.

`monitors` looks at a sample of the rows for drift and shows on /metrics. The live page, where it is turned on, adds `recent`
(alarms, and rows over time), `feedback` (what people found in them) and `page` (what stands behind its paths).
"""
