"""What is in a bundle, which bundles are safe, and how they are written: one bounded extractor for tar, tgz, zip and directories."""
