"""Drift: whether rows still are like those that the model was made of."""
