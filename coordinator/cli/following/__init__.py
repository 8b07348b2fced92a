"""Following a deployment until it ends: what was seen of it, and three ways to show it."""
