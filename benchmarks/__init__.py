"""Ratios, in one run, against what a user would pick instead; docs/performance.md has them."""
