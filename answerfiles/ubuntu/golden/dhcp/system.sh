#!/bin/bash
# Makes the new system web01. Runs in it, as root, at the end of Ubuntu's installer.
set -euo pipefail

write() { # write MODE PATH CONTENT
  mkdir -p "${2%/*}"
  rm -f -- "$2" # it may be a link
  (umask 077 && printf '%s' "$3" > "$2")
  chmod "$1" "$2"
}

user() { # user NAME SHELL [useradd options]: may exist, a package may have brought it
  local name=$1 shell=$2
  shift 2
  id "$name" > /dev/null 2>&1 || useradd -m -s "$shell" "$@" "$name"
}

password() { # password USER HASH: by standard input, so that no process list shows it
  printf '%s:%s\n' "$1" "$2" | chpasswd -e
}

sudo_for() {
  write 0440 "/etc/sudoers.d/90-$1" "$1 ALL=(ALL) NOPASSWD:ALL"$'\n'
}

keys() { # keys USER LINES
  local home
  home=$(getent passwd "$1" | cut -d: -f6)
  write 0600 "$home/.ssh/authorized_keys" "$2"
  chmod 0700 "$home/.ssh"
  chown -R "$1:" "$home/.ssh"
}

# --- name, language ---------------------------------------------------------------------------

write 0644 /etc/hostname 'web01
'
write 0644 /etc/hosts '127.0.0.1	localhost
127.0.1.1	web01 web01
::1	localhost ip6-localhost
'
write 0644 /etc/default/locale 'LANG=en_US.UTF-8
'

# --- keys of the machine: of its own, and such as Deployer was told --------------------------------

rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
ssh-keygen -A > /dev/null

# --- accounts ---------------------------------------------------------------------------------

# The account that Deployer verifies with: no password, no sudo, and a key that allows no forwarding.
user deployer /bin/sh -r -d /var/lib/deployer
keys deployer 'restrict ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFEaJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5DEPL deployer
'

# --- the first boot tells Deployer that this system runs, and removes what the installer left --------

write 0755 /usr/lib/deployer/first-boot '#!/bin/bash
# Written by Deployer: tells the server that this system runs, once, and then removes itself.
set -u
script=/usr/lib/deployer/first-boot-script
if [ -e "$script" ]; then # the profile'"'"'s own; once, however often the call below needs a restart
  mv "$script" "$script.begun"
  bash "$script.begun" || logger -t deployer "the profile'"'"'s first_boot script failed"
  rm -f "$script.begun"
fi
keys=$(cut -d'"'"' '"'"' -f1,2 /etc/ssh/ssh_host_*_key.pub | sed '"'"'s/.*/"&"/'"'"' | paste -sd,)
# The network may still be coming up, and the server may be restarting: ask patiently.
for pause in 1 2 3 5 5 10 10 20 30 30 60 60 120 120 300; do
  if curl -fsS -m 20 -H '"'"'Content-Type: application/json'"'"' -d "{\"ssh_host_keys\": [$keys]}" \
      http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home/first_boot; then
    systemctl disable deployer-first-boot.service
    rm -f /etc/systemd/system/deployer-first-boot.service /usr/lib/deployer/first-boot
    exit 0
  fi
  sleep "$pause"
done
exit 1
'
write 0644 /etc/systemd/system/deployer-first-boot.service '[Unit]
Description=Tell Deployer that this system runs
# Until systemd-user-sessions.service, nobody but root may log in.
After=network-online.target ssh.service systemd-user-sessions.service
Wants=network-online.target

[Service]
Type=oneshot
ExecStart=/usr/lib/deployer/first-boot

[Install]
WantedBy=multi-user.target
'
write 0755 /usr/lib/deployer/forget '#!/bin/bash
# Written by Deployer: removes what Ubuntu'"'"'s installer left (answers, tokens in its logs), once.
# The installer copies its logs after our last command, so it can be done no earlier.
cloud-init status --wait > /dev/null 2>&1 # it needs its part until then
# Without what is removed here it would look for another cloud at the next start, and add a user.
mkdir -p /etc/cloud && touch /etc/cloud/cloud-init.disabled
rm -rf /var/log/installer /etc/cloud/cloud.cfg.d/99-installer.cfg
rm -f /var/lib/cloud/instances/*/{user-data,vendor-data,cloud-config}* /var/lib/cloud/instances/*/obj.pkl
systemctl disable deployer-forget.service
rm -f /etc/systemd/system/deployer-forget.service /usr/lib/deployer/forget
'
write 0644 /etc/systemd/system/deployer-forget.service '[Unit]
Description=Remove what the installer left

[Service]
ExecStart=/usr/lib/deployer/forget

[Install]
WantedBy=multi-user.target
'
systemctl enable deployer-first-boot.service deployer-forget.service
