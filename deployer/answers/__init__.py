"""Finds OS families; renders and checks answer files."""
