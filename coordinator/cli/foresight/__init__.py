"""`hookline plan`, `simulate` and `explain`: what would happen, and why what happens does."""
