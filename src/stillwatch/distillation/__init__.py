"""The whole way from a table to a model."""
