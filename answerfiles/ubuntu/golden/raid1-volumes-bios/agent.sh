#!/bin/sh
# Deployer's part of pair02's installation, in Ubuntu's installer. user-data calls it:
#
#   start      before the installer looks for disks: say so, ask which disk may be written, and write
#              it into /autoinstall.yaml, which the installer reads again afterwards
#   late       in the end: make the new system this host, and say that it is installed
#   failed     when the installer gives up; it would wait for ever

OWN=/run/deployer
LOG=/run/deployer/log
AUTOINSTALL=/autoinstall.yaml
TARGET=/target

PHONE_HOME=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home
PROGRESS=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/progress
ASK_DISKS=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/disks
LOGS=http://10.0.0.5:8081/d/TOKEN-LOGS/logs
OWN=${OWN:-/tmp/deployer}
LOG=${LOG:-$OWN/log}
mkdir -p "$OWN"
CALL=$OWN/call.$$ # what a call was answered; several may call at a time

say() { echo "deployer: $*" | tee -a "$OWN/said" > /dev/console 2> /dev/null || true; }

# Standard input as a JSON string: printable ASCII, which every JSON reader takes.
NEWLINE=$(printf '\001')
json() {
  printf '"%s"' "$(tr '\t\n' " $NEWLINE" | tr -cd "$NEWLINE"'\040-\176' |
    sed "s/[\\\\\"]/\\\\&/g; s/$NEWLINE*\$//; s/$NEWLINE/\\\\n/g")"
}
json_of() { printf '%s' "$1" | json; }

# Never in what we send: tokens in URLs, hashes, passphrases.
no_secrets() { grep -viE 'passw|passphrase|\$(y|6|5|2[aby])\$' | sed 's#/d/[a-z0-9]*/#/d/.../#g'; }

call() { # call TRIES URL [BODY [TYPE]]: true when the server took it; 44 when it knows us no more
  local tries=$1 url=$2 pause=1 type=${4:-application/json} status
  while :; do
    if [ $# -gt 2 ]; then
      status=$(printf '%s' "$3" | curl -s -m 20 -o "$CALL.answer" -w '%{http_code}' \
        -H "Content-Type: $type" --data-binary @- "$url") || status=000
    else
      status=$(curl -s -m 20 -o "$CALL.answer" -w '%{http_code}' "$url") || status=000
    fi
    case $status in
      2??) return 0 ;;
      404) return 44 ;;
      400 | 401 | 403 | 409 | 413 | 422) return 1 ;; # asking again would not help
    esac
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep $pause
    pause=$((pause < 30 ? pause * 2 : 30))
  done
}

progress() { # progress STAGE PERCENT MESSAGE; a server that is away does not stop an install
  local status=0
  call 1 "$PROGRESS" "{\"stage\": \"$1\", \"percent\": $2, \"message\": $(json_of "$3")}" || status=$?
  [ $status != 44 ] || stop_cancelled
}

restart() {
  sync
  reboot -f
  sleep 60
}

stop_cancelled() {
  say "the server says that this deployment has ended; restarting"
  restart
}

log_tail() { tail -n 60 "$LOG" 2> /dev/null | no_secrets | tail -c 6000 | json; }

upload_log() { # upload_log NAME [FILE]
  tail -c 100000 "${2:-$LOG}" 2> /dev/null | no_secrets > "$OWN/log.$$"
  call 3 "$LOGS/$1" "$(cat "$OWN/log.$$")" text/plain
}

fail() { # fail STAGE MESSAGE: tell the server, once; the screen keeps what it shows for ten minutes
  mkdir "$OWN/failed" 2> /dev/null || exit 1
  say "FAILED while $1: $2"
  call 10 "$PHONE_HOME/installer_failed" \
    "{\"stage\": $(json_of "$1"), \"message\": $(json_of "$2"), \"log_tail\": $(log_tail)}"
  sleep ${FAIL_SECONDS:-600}
  restart
}

dmi() { sed 's/ *$//' "/sys/class/dmi/id/$1" 2> /dev/null; }
macs() { cat /sys/class/net/*/address | grep -vx 00:00:00:00:00:00; }
firmware() { if [ -d /sys/firmware/efi ]; then echo uefi; else echo bios; fi; }

check_identity() { # a cloned MAC or swapped cable must not cost another machine its disk
  macs | grep -qixE 52:54:00:12:34:56 ||
    fail start "none of this machine's NICs is one of pair02's"
  same '' "$(dmi product_serial)" ||
    fail start "the serial of this machine is $(dmi product_serial), not that of pair02"
  same '' "$(dmi product_uuid)" ||
    same '' "$(dmi product_uuid | sed -E \
      's/^(..)(..)(..)(..)-(..)(..)-(..)(..)-/\4\3\2\1-\6\5-\8\7-/')" ||
    fail start "the UUID of this machine is $(dmi product_uuid), not that of pair02"
}

same() { # same WANTED SEEN: also when nothing is wanted, or nothing to be seen
  [ -z "$1" ] || [ -z "$2" ] || [ "$(lower "$1")" = "$(lower "$2")" ]
}
lower() { printf '%s' "$1" | tr 'A-Z' 'a-z'; }

facts() {
  printf '{"facts": {"uuid": %s, "serial": %s, "vendor": %s, "product": %s, "arch": %s, ' \
    "$(dmi product_uuid | json)" "$(dmi product_serial | json)" "$(dmi sys_vendor | json)" \
    "$(dmi product_name | json)" "$(uname -m | json)"
  printf '"firmware": "%s", "memory": %s, "macs": [%s]}}' "$(firmware)" \
    "$(awk '/MemTotal/ {printf "%.0f", $2 * 1024}' /proc/meminfo)" \
    "$(macs | sed 's/.*/"&"/' | tr '\n' ',' | sed 's/,$//')"
}

started() {
  local status=0
  facts > "$OWN/facts"
  call 10 "$PHONE_HOME/installer_started" "$(cat "$OWN/facts")" || status=$?
  [ $status != 44 ] || stop_cancelled
}

finished() { call 30 "$PHONE_HOME/installer_finished" '{}'; }

ask_for_disks() {
  local status=0
  call 10 "$ASK_DISKS" "{\"disks\": [$(list_disks)]}" || status=$?
  [ $status != 44 ] || stop_cancelled
  [ $status = 0 ] || fail disks "the server does not say which disk may be written"
  if ! grep -q '"action":"proceed"' "$CALL.answer"; then
    mkdir "$OWN/failed" # the server knows; nothing was written
    say "STOPPED, nothing was written: $(cat "$CALL.answer")"
    sleep ${FAIL_SECONDS:-600}
    restart
  fi
  cp "$CALL.answer" "$OWN/chosen"
  DISKS_CHOSEN=$(chosen | tr '\n' ' ')
  DISKS_CHOSEN=${DISKS_CHOSEN% }
  [ "$(echo $DISKS_CHOSEN | wc -w)" = 2 ] ||
    fail disks "the server names these disks: $DISKS_CHOSEN"
  say "installing to $DISKS_CHOSEN"
}

chosen() { # the devices that the server has named, in its order
  sed 's/.*"disks"://; s/"path":"\([^"]*\)"/\n@\1\n/g' "$OWN/chosen" | sed -n 's/^@//p'
}

list_disks() { # as JSON objects; /sys and udev know them, and removable ones are told as such
  local block name sep=
  for block in /sys/block/*; do
    name=${block##*/}
    case $name in ram* | zram* | loop* | fd* | nbd* | sr* | dm-* | md*) continue ;; esac
    # None at all is a pattern that stands for itself.
    [ "$(cat "$block/size" 2> /dev/null || echo 0)" != 0 ] || continue
    printf '%s{"name": "%s", "path": "/dev/%s", "size": %s, ' "$sep" "$name" "$name" \
      "$(awk '{printf "%.0f", $1 * 512}' "$block/size")"
    printf '"serial": %s, "wwn": %s, "model": %s, "transport": %s, ' \
      "$(property "$name" ID_SERIAL_SHORT "$block/serial" "$block/device/serial")" \
      "$(property "$name" ID_WWN "$block/wwid")" \
      "$(property "$name" ID_MODEL "$block/device/model")" "$(property "$name" ID_BUS)"
    printf '"type": "%s", "removable": %s, "read_only": %s, "contents": [%s]}' \
      "$(type_of "$name" "$block")" "$(truth "$block/removable")" "$(truth "$block/ro")" \
      "$(property "$name" ID_PART_TABLE_TYPE | sed 's/^null$//')"
    sep=,
  done
}

property() { # property NAME UDEV-PROPERTY [FILE ...]: the first that is known, as JSON
  local device=$1 wanted=$2 value file
  shift 2
  value=$(udevadm info -q property -n "/dev/$device" 2> /dev/null | sed -n "s/^$wanted=//p")
  for file; do
    [ -n "$value" ] || value=$(sed 's/^ *//; s/ *$//' "$file" 2> /dev/null)
  done
  if [ -n "$value" ]; then json_of "$value"; else echo null; fi
}

type_of() {
  case $1 in nvme*) echo nvme && return ;; esac
  if [ "$(cat "$2/queue/rotational")" = 1 ]; then echo hdd; else echo ssd; fi
}

truth() { if [ "$(cat "$1")" = 1 ]; then echo true; else echo false; fi; }

# --- start: nothing was looked at yet -----------------------------------------------------------

start() {
  check_identity
  [ "$(firmware)" = bios ] ||
    fail start "this machine was started by $(firmware), and its disk would not start by that"
  started
  progress disks 4 "asking which disk may be written"
  ask_for_disks
  name_disks $DISKS_CHOSEN
}

# What stands there until now matches no disk: the installer would rather fail than take another.
name_disks() {
  local number=0 disk
  for disk; do
    number=$((number + 1))
    case $disk in
      /dev/*[!A-Za-z0-9/_-]*) fail disks "the disk $disk has a strange name" ;;
      /dev/?*) ;;
      *) fail disks "the disk $disk has a strange name" ;;
    esac
    sed -i "s#/dev/deployer-disk-$number\\b#$disk#" "$AUTOINSTALL"
    grep -qwF "$disk" "$AUTOINSTALL" || fail disks "$AUTOINSTALL does not take the disk $disk"
  done
  ! grep -q deployer-disk "$AUTOINSTALL" || fail disks "$AUTOINSTALL wants more disks than $*"
}

# --- late: the new system is there, in /target ---------------------------------------------------

late() {
  progress finishing 93 "making it pair02"
  cp "$OWN/system.sh" "$TARGET/root/deployer-system.sh"
  curtin in-target --target="$TARGET" -- bash /root/deployer-system.sh > "$LOG" 2>&1 ||
    fail finishing "making the new system pair02 failed"
  rm -f "$TARGET/root/deployer-system.sh"
  second_loader
  local status=0 keys
  keys=$(cut -d' ' -f1,2 "$TARGET"/etc/ssh/ssh_host_*_key.pub | sed 's/.*/"&"/' | tr '\n' ',' | sed 's/,$//')
  call 60 "$PHONE_HOME/installer_finished" "{\"ssh_host_keys\": [$keys]}" || status=$?
  [ $status != 44 ] || stop_cancelled
  [ $status = 0 ] || fail finishing "the server does not hear that we have finished"
  mkdir -p "$OWN/failed" # what goes wrong from now on is no failure of this deployment
}

second_loader() { # either disk alone must be able to start the system
  local second
  set -- $(chosen)
  case $2 in *[0-9]) second=${2}p1 ;; *) second=${2}1 ;; esac
  [ "$(firmware)" = uefi ] || return 0 # GRUB was written to both
  mkdir -p "$OWN/esp"
  mount "$second" "$OWN/esp" && cp -r "$TARGET/boot/efi/." "$OWN/esp/" && umount "$OWN/esp" ||
    fail bootloader "the second disk's EFI system partition cannot be written"
}

# --- failed: what the installer has written of it -------------------------------------------------

failed() {
  [ ! -d "$OWN/failed" ] || exit 0 # we have said so ourselves
  local logs=/var/log/installer
  # curtin writes down what it was told, with the key of an encrypted disk.
  cat $logs/subiquity-server-debug.log $logs/curtin-install.log 2> /dev/null |
    grep -viE "dm_crypt|'key'|keyfile|token|merged config" > "$LOG"
  upload_log installer
  fail installing "the installer gave up: $(grep -E ' (ERROR|CRITICAL) ' "$LOG" | no_secrets | tail -n 1 | cut -c 1-300)"
}

case ${1:-} in
  start | late | failed) "$1" ;;
esac
