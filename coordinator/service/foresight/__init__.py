"""What would happen, and why what happens does: asked of the rules that decide, without deciding anything."""
