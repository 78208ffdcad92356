"""The method without each of its terms: the same scene trained again and again, as one table."""
