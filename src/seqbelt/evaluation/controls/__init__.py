"""Controls: what can be answered on the same test rows without recurrence."""
