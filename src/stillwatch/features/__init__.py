"""Raw rows to the feature matrix: every step in NumPy and as graph nodes."""
