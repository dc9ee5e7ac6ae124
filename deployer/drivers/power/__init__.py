"""Power drivers: a module here that defines DRIVER is one; there is nothing to register."""
