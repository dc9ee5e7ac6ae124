#!/bin/busybox sh
# shellcheck shell=dash
# Called by busybox udhcpc, which puts what the DHCP server said into the environment.
# shellcheck disable=SC2154
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
# What has only become valid for longer stays as it is, and so do connections.
[ "$1" = renew ] && ip addr show dev "$interface" | grep -q " inet $ip/" && exit 0
ip addr flush dev "$interface"
ip addr add "$ip/${mask:-24}" dev "$interface"
[ -n "${router:-}" ] && ip route replace default via "${router%% *}"
: > /etc/resolv.conf
for server in ${dns:-}; do echo "nameserver $server" >> /etc/resolv.conf; done
