"""From scores to p-values and alerts."""
