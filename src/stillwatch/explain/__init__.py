"""Reasons: which columns raise a row's score, against what is normal for rows like it."""
