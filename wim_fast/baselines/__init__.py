"""The baselines of the paper (supplement A.9), trained and measured as our model is: docs/baselines.md."""
