"""Version 1 of the contracts, as compiled by scripts/gen-protos."""
