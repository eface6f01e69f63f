"""A model folder in the forms that other tools take."""
