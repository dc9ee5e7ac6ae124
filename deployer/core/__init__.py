"""Values and rules: no database, no network, no clock, no files."""
