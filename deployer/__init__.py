"""Deployer reinstalls bare machines without hands, and says where one is stuck."""

__version__ = "0.1.0"
