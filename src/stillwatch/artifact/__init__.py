"""The model folder: written whole or not at all, audited before anything is built from it.

Fixed names: `model.onnx`, `manifest.json`, `DIGEST`, `report.html`, `report.json`, `README.md`. No other
file is ever opened. Digests detect damage, and a swap where the expected digest is known; they are no proof
of who wrote a folder.
"""
