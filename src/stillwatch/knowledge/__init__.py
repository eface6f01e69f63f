"""What a teacher knows, as rows and scores: where it was asked, what it said, how that was softened."""
