#!/bin/bash
# Installs app01. Run in Fedora CoreOS' live system by the units of live.ign.
set -uo pipefail
OWN=${OWN:-/run/deployer}
LOG=$OWN/log
umask 077
mkdir -p "$OWN"

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
    fail start "none of this machine's NICs is one of app01's"
  same '' "$(dmi product_serial)" ||
    fail start "the serial of this machine is $(dmi product_serial), not that of app01"
  same '' "$(dmi product_uuid)" ||
    same '' "$(dmi product_uuid | sed -E \
      's/^(..)(..)(..)(..)-(..)(..)-(..)(..)-/\4\3\2\1-\6\5-\8\7-/')" ||
    fail start "the UUID of this machine is $(dmi product_uuid), not that of app01"
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
  [ "$(echo $DISKS_CHOSEN | wc -w)" = 1 ] ||
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

clear_disks() { # clear_disks DISK ...: of what an old system left there, and this one has started
  swapoff -a
  vgchange -an > /dev/null 2>&1
  mdadm --stop --scan 2> /dev/null
  local disk part
  for disk; do
    # Partitions first: without its table, a disk has none.
    for part in $(lsblk --noheadings --raw --paths --output NAME,TYPE "$disk" |
      awk '$2 == "part" {print $1}') "$disk"; do
      wipefs --all --quiet "$part" || fail disks "$part is in use, and cannot be written"
    done
  done
}

watch_writing() { # watch_writing DISK: one progress call every ten seconds
  local stat=/sys/block/${1##*/}/stat before now written percent
  before=$(awk '{print $7}' "$stat")
  while sleep 10; do
    now=$(awk '{print $7}' "$stat")
    written=$(((now - before) / 2048))
    # How much it will be in the end is an estimate, and the bar no promise.
    percent=$((20 + written * 60 / 2700))
    progress writing $((percent < 80 ? percent : 80)) "$written MiB written to $1"
  done
}

install() {
  exec > >(tee -a $LOG) 2>&1
  check_identity
  started
  progress start 5 "the profile's pre script"
  bash -c 'echo "before: $(date)"
' || fail start "the profile's pre script failed"
  progress disks 10 "asking which disk may be written"
  ask_for_disks
  DISK=$(readlink -f "${DISKS_CHOSEN%% *}")
  progress retrieving 15 "fetching the new system's configuration"
  call 10 http://10.0.0.5:8081/d/TOKEN-ANSWERS/answers/target.ign || fail retrieving "target.ign cannot be fetched"
  mv $CALL.answer $OWN/target.ign
  prepare
  clear_disks $DISKS_CHOSEN
  progress writing 20 "writing to $DISK"
  watch_writing "$DISK" &
  local watcher=$! status=0
  write_image || status=$?
  kill $watcher
  if [ $status != 0 ]; then
    sleep 1 # what it said last is on its way into the log
    fail writing "writing to $DISK failed"
  fi
  sync
  progress finishing 95 "app01 is written"
  finished || fail finishing "the server does not hear that we have finished"
  mkdir -p $OWN/failed # what happens from now on is no failure any more
  systemctl reboot
}

failed() { # the unit ended before it could say so itself
  journalctl --boot --no-pager --lines 200 --unit deployer-install.service > $LOG 2>&1
  fail writing "the installation ended before it was complete"
}

prepare() {
  return 0
}

write_image() {
  # The live system carries the image that it installs, and its signature.
  coreos-installer install --ignition-file $OWN/target.ign \
    "$DISK"
}

case ${1:-} in
  install | failed) "$1" ;;
esac
