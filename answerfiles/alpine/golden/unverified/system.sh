#!/bin/sh
# Makes the new system kiosk01. Runs in it, as root, after setup-alpine.
set -eu

write() { # write MODE PATH CONTENT
  mkdir -p "${2%/*}"
  rm -f -- "$2" # it may be a link
  (umask 077 && printf '%s' "$3" > "$2")
  chmod "$1" "$2"
}

# The password of an account without one is `*`: adduser writes `!`, and sshd takes that for a locked
# account, which may not log in by key either.
user() { # user NAME SHELL [adduser options]
  local name=$1 shell=$2
  shift 2
  if ! id "$name" > /dev/null 2>&1; then
    adduser -D -s "$shell" "$@" "$name"
    password "$name" '*'
  fi
}

password() { # password USER HASH: by standard input, so that no process list shows it
  printf '%s:%s\n' "$1" "$2" | chpasswd -e
}

keys() { # keys USER LINES
  local home
  home=$(awk -F: -v name="$1" '$1 == name {print $6}' /etc/passwd)
  write 0600 "$home/.ssh/authorized_keys" "$2"
  chmod 0700 "$home/.ssh"
  chown -R "$1" "$home/.ssh"
}

# --- name, language, packages -------------------------------------------------------------------

write 0644 /etc/hostname 'kiosk01
'
write 0644 /etc/hosts '127.0.0.1	localhost
127.0.1.1	kiosk01
::1	localhost ip6-localhost
'
write 0644 /etc/profile.d/30deployer-locale.sh 'export LANG=en_US.UTF-8
'
write 0644 /etc/apk/repositories 'http://dl-cdn.alpinelinux.org/alpine/v3.23/main
http://dl-cdn.alpinelinux.org/alpine/v3.23/community
'
apk update
apk add openssh curl ca-certificates kbd-bkeymaps
rc-update add sshd default
rc-update add networking boot

# setup-keymap would ask for a layout that it does not know.
keymap() { # keymap LAYOUT
  local folder=/usr/share/bkeymaps/${1%%-*} file
  [ -d "$folder" ] || { echo "there is no keyboard layout $1" && exit 1; }
  file=$folder/$1.bmap.gz
  [ -e "$file" ] || file=$(ls "$folder"/*.bmap.gz | head -n 1)
  mkdir -p /etc/keymap
  cp "$file" /etc/keymap/
  write 0644 /etc/conf.d/loadkmap "KEYMAP=/etc/keymap/${file##*/}
"
  rc-update add loadkmap boot
}
keymap us

# --- accounts -----------------------------------------------------------------------------------

password root '*'

# --- the first boot tells Deployer that this system runs ------------------------------------------

write 0700 /etc/local.d/deployer-first-boot.start '#!/bin/sh
# Written by Deployer: tells the server that this system runs, once, and then removes itself.
# In the background: `local` is the last service that starts, and a getty waits for it.
(
  script=/var/lib/deployer-first-boot
  if [ -e "$script" ]; then # the profile'"'"'s own; once, however often the call below needs a restart
    mv "$script" "$script.begun"
    sh "$script.begun" || logger -t deployer "the profile'"'"'s first_boot script failed"
    rm -f "$script.begun"
  fi
  keys=$(cut -d'"'"' '"'"' -f1,2 /etc/ssh/ssh_host_*_key.pub | sed '"'"'s/.*/"&"/'"'"' | tr '"'"'\n'"'"' '"'"','"'"' | sed '"'"'s/,$//'"'"')
  for pause in 1 2 3 5 5 10 10 20 30 30 60 60 120 120 300; do
    if curl -fsS -m 20 -H '"'"'Content-Type: application/json'"'"' -d "{\"ssh_host_keys\": [$keys]}" \
        http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home/first_boot; then
      rm -f /etc/local.d/deployer-first-boot.start
      exit 0
    fi
    sleep "$pause"
  done
) > /dev/null 2>&1 &
'
rc-update add local default

# --- last, because until now names are found as the live system finds them -------------------------
rm -f /root/.ash_history
