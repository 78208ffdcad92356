"""The methods that the paper compares with (supplement A.9), on the same recordings, schedule and metrics as ours."""
