"""The read side: one query layer over the published file, and what shows it to people and programs."""
