"""One file per installer technology; a module that defines INSTALLER is found by itself."""
