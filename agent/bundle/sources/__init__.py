"""Where bundles come from, one module a source, and their bytes on the way to the disk."""
