"""Small models that learn a teacher's scores and write themselves as graph nodes."""
