"""An experiment: many jobs of one description, tracked until all have succeeded."""
