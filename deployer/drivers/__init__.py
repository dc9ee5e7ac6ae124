"""How we reach what is outside: BMCs and other power switches."""
