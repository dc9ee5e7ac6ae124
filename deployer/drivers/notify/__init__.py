"""One file per way to tell whoever does not talk back; a module that defines `DRIVER` is one."""
