"""What DHCP and TFTP must say to lead a machine to its boot script; supervises dnsmasq."""
