"""The tables, the migrations that make them, and the views that people read."""
