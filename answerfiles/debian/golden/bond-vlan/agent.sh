#!/bin/sh
# Deployer's part of edge01.example.org's installation, in Debian's installer. preseed.cfg calls it:
#
#   start      before the installer does anything: say so, and watch from then on
#   disks      before partitioning: ask which disk may be written, and say so to the installer
#   late       in the end: make the new system this host, and say that it is installed
#
# There is busybox, wget and udevadm, and no bash, curl or jq. The installer has no hook for
# failures: it shows a question and waits for ever. So `watch` reads its syslog beside it.

PHONE_HOME=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home
PROGRESS=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/progress
DISKS=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/disks
LOGS=http://10.0.0.5:8081/d/TOKEN-LOGS/logs
ANSWERS=http://10.0.0.5:8081/d/TOKEN-ANSWERS/answers

SYSLOG=/var/log/syslog
OWN=/var/lib/deployer
CALL=$OWN/call.$$ # what a call was answered; the watcher makes calls of its own meanwhile
ANSWER_PATIENCE=45 # seconds that a question may stay unanswered before it counts as waiting

# --- talking ----------------------------------------------------------------------------------

say() { logger -t deployer "$*"; }

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
  local tries=$1 url=$2 pause=1 type=${4:-application/json}
  while :; do
    if [ $# -gt 2 ]; then
      wget -S -T 20 -t 1 -O "$CALL.answer" --header "Content-Type: $type" \
        --post-data "$3" "$url" 2> "$CALL.said" && return 0
    else
      wget -S -T 20 -t 1 -O "$CALL.answer" "$url" 2> "$CALL.said" && return 0
    fi
    ! grep -q ' 404 ' "$CALL.said" || return 44
    ! grep -qE 'HTTP/1.[01] 4(0[0-79]|1|22)' "$CALL.said" || return 1 # asking again would not help
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

# --- endings ----------------------------------------------------------------------------------

restart() {
  sync
  reboot -f
  sleep 60
}

stop_cancelled() {
  say "the server says that this deployment has ended; restarting"
  restart
}

fail() { # fail STAGE MESSAGE: tell the server, once; the screen keeps what it shows for ten minutes
  mkdir "$OWN/failed" 2> /dev/null || exit 1
  say "FAILED while $1: $2"
  upload_log
  call 10 "$PHONE_HOME/installer_failed" "{\"stage\": $(json_of "$1"), \"message\": $(json_of "$2"),
    \"log_tail\": $(tail -n 60 $SYSLOG | no_secrets | grep -v ' debconf: ' | tail -c 6000 | json)}"
  sleep 600
  restart
}

upload_log() {
  tail -c 100000 $SYSLOG | no_secrets > "$OWN/log"
  call 3 "$LOGS/syslog" "$(cat "$OWN/log")" text/plain
}

# --- start: the machine has the preseed --------------------------------------------------------

start() {
  mkdir -p "$OWN"
  # The installer's GNU wget would try twenty times, up to a quarter of an hour each, eight times over,
  # before anybody is asked what to do about a mirror that hangs up.
  printf 'tries = 3\nwaitretry = 3\ntimeout = 30\n' > /etc/wgetrc
  call 5 "$ANSWERS/system.sh" || fail start "system.sh cannot be fetched"
  mv "$CALL.answer" "$OWN/system.sh"
  check_identity
  facts > "$OWN/facts"
  local status=0
  call 10 "$PHONE_HOME/installer_started" "$(cat "$OWN/facts")" || status=$?
  [ $status != 44 ] || stop_cancelled
  # Detached: the installer waits for all that holds this command's output open.
  sh "$0" watch < /dev/null > /dev/null 2>&1 &
}

dmi() { sed 's/ *$//' "/sys/class/dmi/id/$1" 2> /dev/null; }
macs() { cat /sys/class/net/*/address | grep -vx 00:00:00:00:00:00; }
firmware() { if [ -d /sys/firmware/efi ]; then echo uefi; else echo bios; fi; }

check_identity() { # a cloned MAC or swapped cable must not cost another machine its disk
  macs | grep -qixE '52:54:00:12:34:56|52:54:00:12:34:57|52:54:00:12:34:58' ||
    fail start "none of this machine's NICs is one of edge01.example.org's"
  same '' "$(dmi product_serial)" ||
    fail start "the serial of this machine is $(dmi product_serial), not that of edge01.example.org"
  same '' "$(dmi product_uuid)" ||
    same '' "$(dmi product_uuid | sed -E \
      's/^(..)(..)(..)(..)-(..)(..)-(..)(..)-/\4\3\2\1-\6\5-\8\7-/')" ||
    fail start "the UUID of this machine is $(dmi product_uuid), not that of edge01.example.org"
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

# --- watch: how far it is, and whether it is stuck ----------------------------------------------

watch() {
  echo start > "$OWN/stage"
  CALL=$CALL.lines
  tail -n +1 -f $SYSLOG | while IFS= read -r line; do read_line "$line"; done &
  CALL=$OWN/call.$$
  while sleep 5; do look_for_question; done
}

read_line() { # main-menu's own lines, and with DEBCONF_DEBUG what is asked through debconf
  case $1 in
    *"main-menu"*"Menu item '"*"' selected"*) selected "$(between "$1" "item '" "' selected")" ;;
    *"main-menu"*"Menu item '"*"' failed"*) fail "$(cat "$OWN/stage")" \
      "the installer's step $(between "$1" "item '" "' failed") failed$(because)" ;;
    *"main-menu"*"Configuring '"*"' failed"*) fail "$(cat "$OWN/stage")" \
      "the installer's step $(between "$1" "Configuring '" "' failed") failed$(because)" ;;
    *" debconf: --> INPUT "*) asked=${1##* } ;;
    *" debconf: <-- 0 question will be asked"*) echo "$asked" > "$OWN/question" ;;
    *" debconf: <-- 30 question skipped"*) ;;
    *" debconf: --> GO"*) ;;
    *" debconf: "*) rm -f "$OWN/question" ;;
    *": http://"*: | *": https://"*:) place=" ${1##* }" ;;
    *" ERROR "[45][0-9][0-9]": "*) echo "$place ${1##* ERROR }" > "$OWN/last-error" ;;
    *" unable to resolve "* | *"onnection refused"* | *"onnection timed out"* | *" error: "* | *" E: "*)
      echo " ${1#*]: }" > "$OWN/last-error" ;;
  esac
}

between() { # between TEXT BEFORE AFTER
  local rest=${1#*"$2"}
  printf '%s' "${rest%%"$3"*}"
}

because() { [ ! -s "$OWN/last-error" ] || printf '; last error:%s' "$(cat "$OWN/last-error")"; }

selected() { # Debian's names of its steps, in the order in which they come
  case $1 in
    choose-mirror) enter retrieving 2 "looking for the mirror" ;;
    download-installer) enter retrieving 4 "fetching the installer's components" ;;
    disk-detect) enter disks 8 "looking for disks" ;;
    partman-base) enter partitioning 10 "partitioning" ;;
    bootstrap-base) enter writing 20 "installing the base system" ;;
    apt-setup-udeb) enter configuring 50 "configuring apt" ;;
    pkgsel) enter configuring 55 "installing packages" ;;
    grub-installer | flash-kernel-installer) enter bootloader 85 "installing the boot loader" ;;
    finish-install) enter finishing 95 "finishing" ;;
    *) say "step $1" ;;
  esac
}

enter() {
  echo "$1" > "$OWN/stage"
  progress "$@"
}

look_for_question() { # asked, and not answered since
  local asked since
  [ -s "$OWN/question" ] || return 0
  asked=$(cat "$OWN/question")
  since=$(($(date +%s) - $(date -r "$OWN/question" +%s)))
  [ "$since" -lt $ANSWER_PATIENCE ] ||
    fail "$(cat "$OWN/stage")" "the installer asks $asked and waits$(because)"
}

# --- disks: which may be written, and how it is divided ------------------------------------------

disks() {
  echo disks > "$OWN/stage"
  local status=0
  call 10 "$DISKS" "{\"disks\": [$(list_disks)]}" || status=$?
  [ $status != 44 ] || stop_cancelled
  [ $status = 0 ] || fail disks "the server does not say which disk may be written"
  if ! grep -q '"action":"proceed"' "$CALL.answer"; then
    mkdir "$OWN/failed" # the server knows; nothing was written
    say "STOPPED, nothing was written: $(cat "$CALL.answer")"
    sleep 600
    restart
  fi
  cp "$CALL.answer" "$OWN/chosen"
  set -- $(chosen)
  [ $# = 1 ] || fail disks "the server names $# disks"
  say "installing to $*"
  debconf-set partman-auto/disk "$*"
  debconf-set grub-installer/bootdev "$*"
  divide "$@"
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

# partman-auto's own language: minimum, priority, maximum in MB, file system, what to do with it.
# https://salsa.debian.org/installer-team/debian-installer, doc/devel/partman-auto-recipe.txt
divide() { # divide DISK ...: says nothing where the installer knows better, as on boards without UEFI
  local first recipe
  case $(firmware)/$(uname -m) in
    uefi/*) first="512 512 512 free \$iflabel{ gpt } \$reusemethod{ } method{ efi } format{ } ." ;;
    bios/x86_64 | bios/i?86) first="1 1 1 free \$iflabel{ gpt } method{ biosgrub } ." ;;
    *) return 0 ;;
  esac
  debconf-set partman-partitioning/default_label gpt
  recipe="2000 2000 -1 ext4 method{ format } format{ } use_filesystem{ } filesystem{ ext4 } mountpoint{ / } ."
  debconf-set partman-auto/expert_recipe "deployer :: $first $recipe"
}

# --- late: the new system is there -------------------------------------------------------------

late() {
  enter finishing 90 "making it edge01.example.org"
  cp "$OWN/system.sh" /target/root/deployer-system.sh
  in-target bash /root/deployer-system.sh || fail finishing "making the new system edge01.example.org failed"
  rm -f /target/root/deployer-system.sh
  forget
  local status=0 keys
  keys=$(cut -d' ' -f1,2 /target/etc/ssh/ssh_host_*_key.pub | sed 's/.*/"&"/' | tr '\n' ',' | sed 's/,$//')
  call 60 "$PHONE_HOME/installer_finished" "{\"ssh_host_keys\": [$keys]}" || status=$?
  [ $status != 44 ] || stop_cancelled
  [ $status = 0 ] || fail finishing "the server does not hear that we have finished"
  mkdir -p "$OWN/failed" # what the log says from now on is no failure any more
}

# The installer copies its logs, and the answers with our addresses, after this: the last thing that
# it runs removes them again.
forget() {
  printf '#!/bin/sh\nrm -rf /target/var/log/installer\n' > /usr/lib/finish-install.d/99zz-deployer
  chmod 0755 /usr/lib/finish-install.d/99zz-deployer
}

case ${1:-} in
  start | watch | disks | late) "$1" ;;
esac
