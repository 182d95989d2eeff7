"""The review page: look at items in the order of doubt, correct their labels."""
