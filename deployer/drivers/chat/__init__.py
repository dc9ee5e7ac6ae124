"""One file per chat platform; a module that defines `DRIVER` is one."""
