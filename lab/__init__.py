"""A laboratory beside the product: machines in QEMU, the demo, generated documentation."""
