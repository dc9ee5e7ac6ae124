"""Deployer's part of web01's installation, in ESXi's installer. ks.cfg calls it:

  before   asks the server which disk may be written, and writes that for the installer
  after    the system is on the disk
  watch    beside the installer, which has no hook for failures: it shows them and waits
"""
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

PHONE_HOME = 'http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home'
PROGRESS = 'http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/progress'
DISKS = 'http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/disks'
LOGS = 'http://10.0.0.5:8081/d/TOKEN-LOGS/logs'
MACS = ['52:54:00:12:34:56']
SERIAL = None
UUID = None
MAKE_PASSWORD = True
PRE = None
POST = None

OWN = os.environ.get("DEPLOYER_OWN", "/tmp/deployer")
WEASEL_LOG = os.environ.get("DEPLOYER_LOG", "/var/log/weasel.log")
DEVICES = os.environ.get("DEPLOYER_DEVICES", "/vmfs/devices/disks")
FAIL_SECONDS = int(os.environ.get("DEPLOYER_FAIL_SECONDS", "600"))
SECURE_BOOT = os.environ.get(
    "DEPLOYER_SECURE_BOOT", "/usr/lib/vmware/secureboot/bin/secureBoot.py")


class Refused(Exception):
    """Nothing may be written."""


def say(text):
    print("deployer: " + text)
    sys.stdout.flush()


def run(*words):
    """What a command prints; nothing when it fails or is not there."""
    try:
        done = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.communicate()[0].decode("utf-8", "replace")
    except OSError:
        return ""


# --- talking ----------------------------------------------------------------------------------


def call(url, body, tries, kind="application/json"):
    """The answer as text. None: the server does not take it, or cannot be reached."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
    pause = 1
    for left in range(tries, 0, -1):
        try:
            request = urllib.request.Request(url, data=data, headers={"Content-Type": kind})
            return urllib.request.urlopen(request, timeout=20).read().decode("utf-8")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                say("the server says that this deployment has ended; restarting")
                restart()
            if error.code in (400, 401, 403, 409, 413, 422):
                return None  # asking again would not help
        except (OSError, ValueError):
            pass
        if left > 1:
            time.sleep(pause)
            pause = min(pause * 2, 30)
    return None


def progress(stage, percent, message):
    """A server that is away does not stop an install."""
    call(PROGRESS, {"stage": stage, "percent": percent, "message": message}, 1)


def restart():
    run("reboot", "-f")
    time.sleep(60)
    sys.exit(1)


def fail(stage, message):
    """Tell the server, once; the screen keeps what it shows for ten minutes."""
    try:
        os.mkdir(os.path.join(OWN, "failed"))
    except OSError:
        sys.exit(1)
    say("FAILED while %s: %s" % (stage, message))
    call(PHONE_HOME + "/installer_failed",
         {"stage": stage, "message": message, "log_tail": without_secrets(tail(6000))}, 10)
    time.sleep(FAIL_SECONDS)
    restart()


def tail(size):
    try:
        with open(WEASEL_LOG, "rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - size))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


def without_secrets(text):
    lines = [line for line in text.splitlines()
             if not re.search(r"(?i)passw|rootpw|serialnum|\$(y|6|5|2[aby])\$", line)]
    return re.sub(r"/d/[a-z0-9]+/", "/d/.../", "\n".join(lines))


# --- is it the machine? -----------------------------------------------------------------------


def fields(text):
    """`Name: value` lines, as esxcli and localcli print them."""
    pairs = [line.strip().partition(": ") for line in text.splitlines()]
    return dict((name, value.strip()) for name, colon, value in pairs if colon)


def identity():
    """What SMBIOS says. The UUID is printed as `0x4c 0x4c ...`, in the order of its bytes."""
    platform = fields(run("localcli", "hardware", "platform", "get"))
    found = re.findall(r"\b0x([0-9a-fA-F]{1,2})\b", platform.get("UUID", ""))
    nics = run("localcli", "network", "nic", "list")
    return {
        "uuid": "".join(byte.zfill(2) for byte in found).lower() if len(found) == 16 else "",
        "serial": platform.get("Serial Number", ""),
        "vendor": platform.get("Vendor Name", ""),
        "product": platform.get("Product Name", ""),
        "macs": re.findall(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", nics.lower()),
    }


def check_identity(seen):
    """A cloned MAC or swapped cable must not cost another machine its disk."""
    if not set(MACS) & set(seen["macs"]):
        raise Refused("none of this machine's NICs is one of the host's")
    serial = (SERIAL or "").strip().lower()
    if serial and seen["serial"] and serial != seen["serial"].strip().lower():
        raise Refused("the serial of this machine is %s, not that of the host" % seen["serial"])
    wanted, uuid = (UUID or "").replace("-", ""), seen["uuid"]
    if wanted and uuid and wanted not in (uuid, swapped(uuid)):
        raise Refused("the UUID of this machine is %s, not that of the host" % uuid)


def swapped(uuid):
    """The other byte order of the first three fields (SMBIOS 2.6)."""
    pairs = re.findall("..", uuid)
    return "".join([pairs[i] for i in (3, 2, 1, 0, 5, 4, 7, 6)] + pairs[8:])


def check_secure_boot():
    """With it ESXi never runs %firstboot, so nothing of the first boot would be done."""
    if "Enabled" in run(SECURE_BOOT, "-s"):
        raise Refused("Secure Boot is on, and ESXi runs no first boot script then; switch it off to"
                      " install, and on again afterwards")


# --- disks ------------------------------------------------------------------------------------


def blocks(text):
    """{name: fields} of a list in which each entry is a line, and what is indented below it."""
    found, name = {}, None
    for line in text.splitlines():
        if line and not line[0].isspace():
            name = line.strip().rstrip(":")
            found[name] = ""
        elif name is not None:
            found[name] += line + "\n"
    return dict((name, fields(body)) for name, body in found.items())


def list_disks():
    """As the server takes them, from `localcli storage core device list` and `... path list`."""
    paths = {}
    for path in blocks(run("localcli", "storage", "core", "path", "list")).values():
        paths.setdefault(path.get("Device"), path)
    devices = blocks(run("localcli", "storage", "core", "device", "list"))
    return [disk(name, device, paths.get(name, {})) for name, device in sorted(devices.items())
            if device.get("Device Type") == "Direct-Access" and device.get("Is Offline") != "true"]


def disk(name, device, path):
    size = device.get("Size", "")
    return {
        "name": name,
        "path": DEVICES + "/" + name,
        "size": int(size) * 2 ** 20 if size.isdigit() else 0,
        "serial": serial_of(name, path.get("Adapter")),
        "wwn": wwn_of(name),
        "model": device.get("Model"),
        "type": type_of(name, device),
        "transport": transport_of(device, path),
        "removable": device.get("Is Removable") == "true",
        "contents": contents(name),
    }


def serial_of(name, adapter):
    """ATA: the last part of its t10 name, where "_" stands for blanks. NVMe: the adapter knows.
    SAS disks and volumes of a RAID controller tell none: their WWN names them."""
    if name.startswith("t10.ATA_"):
        parts = [part for part in re.split("__+", name) if part]
        return parts[-1].strip("_") if len(parts) > 2 else None
    if name.startswith(("t10.NVMe", "eui.")) and adapter:
        return fields(run("localcli", "nvme", "device", "get", "-A", adapter)).get("Serial Number")
    return None


def wwn_of(name):
    """As Linux writes it; whole, where udev's ID_WWN has the first half of a RAID volume's alone."""
    if name.startswith("naa."):
        return "0x" + name[4:]
    return name if name.startswith("eui.") else None


def type_of(name, device):
    if name.startswith(("t10.NVMe", "eui.")):
        return "nvme"
    return "ssd" if device.get("Is SSD") == "true" else "hdd"


def transport_of(device, path):
    """What is neither local nor on a known path may be a LUN that others use: `fc` says as much."""
    if device.get("Is USB") == "true":
        return "usb"
    known = (path.get("Transport") or "").lower()
    if known:
        return known
    return None if device.get("Is Local") == "true" else "fc"


def contents(name):
    """Kinds of partitions: `vmfs`, `vsan`, `linuxNative`, ..."""
    table = run("partedUtil", "getptbl", DEVICES + "/" + name).splitlines()
    kinds = [line.split()[4] for line in table[2:] if len(line.split()) > 4]
    return table[:1] + sorted(set(kinds)) if kinds else []


def choose():
    """The one disk that the server lets us write."""
    disks = list_disks()
    answer = call(DISKS, {"disks": disks}, 10)
    if answer is None:
        raise Refused("the server does not say which disk may be written")
    decision = json.loads(answer)
    if decision.get("action") != "proceed":
        os.mkdir(os.path.join(OWN, "failed"))  # the server knows; nothing was written
        say("STOPPED, nothing was written: %s" % decision.get("reason"))
        time.sleep(FAIL_SECONDS)
        restart()
    (name,) = [each["name"] for each in decision["disks"]]
    return [each for each in disks if each["name"] == name][0]


def chosen_cfg(disk):
    lines = ["install --disk=%s --overwritevmfs" % disk["path"]]
    if "vsan" in disk["contents"]:
        # Only there: on a disk without vSAN the option itself is an error.
        lines[0] += " --overwritevsan"
    if MAKE_PASSWORD:
        # Nobody knows it, so nobody logs in with it; root must have one.
        lines.append("rootpw Aa1!" + "".join("%02x" % byte for byte in os.urandom(24)))
    return "\n".join(lines) + "\n"


# --- the three of ks.cfg ----------------------------------------------------------------------


def before():
    """The file that ks.cfg includes is written last: without it the installer stops."""
    try:
        seen = identity()
        check_identity(seen)
        facts = dict((name, value) for name, value in seen.items() if value)
        call(PHONE_HOME + "/installer_started", {"facts": facts}, 10)
        check_secure_boot()
        subprocess.Popen([sys.executable, os.path.abspath(__file__), "watch"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
        if PRE and subprocess.call(["/bin/sh", "-c", PRE]) != 0:
            raise Refused("the profile's script `pre` failed")
        progress("disks", 5, "asking which disk may be written")
        disk = choose()
    except Refused as refusal:
        fail("disks", str(refusal))
    except Exception as error:
        fail("disks", "%s: %s" % (type(error).__name__, error))
    say("installing to " + disk["name"])
    part = os.path.join(OWN, "chosen.cfg.part")
    with open(part, "w") as file:
        file.write(chosen_cfg(disk))
    os.rename(part, os.path.join(OWN, "chosen.cfg"))


def after():
    if POST and subprocess.call(["/bin/sh", "-c", POST]) != 0:
        fail("finishing", "the profile's script `post` failed")
    open(os.path.join(OWN, "done"), "w").close()
    call(LOGS + "/weasel.log", without_secrets(tail(100000)).encode("utf-8"), 3, "text/plain")
    call(PHONE_HOME + "/installer_finished", {}, 30)


def watch():
    """Percentages of its log, as they come. An error, and then silence, is its red screen."""
    told, size, quiet = 0, 0, 0
    while not os.path.exists(os.path.join(OWN, "done")):
        time.sleep(5)
        text = tail(20000)
        grown = os.path.getsize(WEASEL_LOG) if os.path.exists(WEASEL_LOG) else 0
        quiet = quiet + 5 if grown == size else 0
        size = grown
        found = [int(digits) for digits in re.findall(r"\b(\d{1,3}) ?%", text)]
        if found and found[-1] <= 100 and found[-1] >= told + 5:
            told = found[-1]
            progress("writing", told, "installing")
        if quiet >= 120 and re.search(r"Traceback|CRITICAL|HandledError", text):
            fail("writing", "the installer shows an error and waits for a key")


if __name__ == "__main__":
    {"before": before, "after": after, "watch": watch}[sys.argv[1]]()
