"""Generated data: memory tasks, and demo data of all kinds."""
