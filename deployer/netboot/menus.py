"""What loaders that read a file from the TFTP root find there: the same for every machine.

The files hold no name, no MAC and no token; who may install is asked over HTTP.
"""

from __future__ import annotations

from urllib.parse import urlsplit

# `?` and `&` are plain within GRUB's double quotes. https://www.gnu.org/software/grub/manual/grub/
# grub.html#Network lists the variables; `smbios` is missing in some builds, and then says so.
_GRUB = """\
# Asks the server what this machine boots. The same file for every machine.
set server='{server}'
set machine="$net_default_mac"
if [ -z "$machine" ]; then set machine="$net_efinet0_dhcp_mac"; fi
set uuid=
smbios --type 1 --get-uuid 8 --set=uuid
set query="mac=$machine&platform=$grub_platform&arch=$grub_cpu&uuid=$uuid"
for try in 1 2 3 4 5; do
  echo "Deployer: asking $server what $machine should boot"
  configfile "($server){path}/boot/grub?$query"
  sleep 3
done
echo "Deployer: no answer, booting the local disk"
{local}"""


def grub(machine_url: str, local: str) -> str:
    """grub/grub.cfg. `local`: the commands that boot the machine's own disk."""
    parts = urlsplit(machine_url)
    return _GRUB.format(server=f"{parts.scheme},{parts.netloc}", path=parts.path, local=local)


# All cards ask at once, for 13 s; a switch's port may be silent for longer (spanning tree).
_ADDRESS = """\
for try in 1 2 3; do
  if [ -z "$net_default_ip" ]; then
    echo "Deployer: asking for an address"
    net_bootp
    for card in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
      if [ -z "$net_default_ip" ]; then set net_default_interface=efinet${card}_dhcp; fi
    done
  fi
done
"""


def grub_from_cd(machine_url: str, local: str) -> str:
    """As `grub`, for one that did not come by the network."""
    return _ADDRESS + grub(machine_url, local)


_PXELINUX = """\
# Starts iPXE, which asks the server. The same file for every machine.
DEFAULT deployer
PROMPT 0
ONTIMEOUT deployer
LABEL deployer
  KERNEL ipxe.lkrn
  APPEND dhcp && chain {url}/boot.ipxe
"""


def pxelinux(machine_url: str) -> str:
    """pxelinux.cfg/default."""
    return _PXELINUX.format(url=machine_url)
