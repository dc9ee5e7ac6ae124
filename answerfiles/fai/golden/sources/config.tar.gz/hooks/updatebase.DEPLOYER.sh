#!/bin/bash
# Sourced by FAI before the task "updatebase": where packages come from.
bash "$FAI/agent.sh" stage configuring 50 "installing packages"
cat > "$target/etc/apt/sources.list" << 'SOURCES'
deb http://mirror.example.org/debian bookworm main
deb http://mirror.example.org/debian bookworm-updates main
deb http://security.debian.org/debian-security bookworm-security main
SOURCES
cat > "$target/etc/apt/apt.conf.d/90deployer-proxy" << 'PROXY'
Acquire::http::Proxy "http://proxy.example.org:3142";
Acquire::https::Proxy "http://proxy.example.org:3142";
PROXY
cat > "$target/etc/apt/sources.list.d/deployer-ours.sources" << 'SOURCES'
Types: deb
URIs: https://packages.example.org/debian
Suites: stable
Components: main
Signed-By: /etc/apt/keyrings/deployer-ours.asc
SOURCES
mkdir -p "$target/etc/apt/keyrings"
printf '%s' '-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZQ==
-----END PGP PUBLIC KEY BLOCK-----
' > "$target/etc/apt/keyrings/deployer-ours.asc"
cat > "$target/etc/apt/sources.list.d/deployer-nightly.sources" << 'SOURCES'
Types: deb
URIs: http://builds.example.org/today
Suites: ./
SOURCES
# The image has all that was asked for, so nothing is fetched.
skiptask updatebase instsoft
