"""What one does with a trained run: functions of plain arguments that return data."""
