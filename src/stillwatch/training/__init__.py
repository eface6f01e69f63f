"""The one visible training loop."""
