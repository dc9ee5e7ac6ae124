"""Boot scripts as the machine gets them, whole."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from deployer.boot import grub, ipxe
from deployer.core.bootspec import BootDecision, Initrd, InstallerBoot, KernelArgument, LocalBoot

INSTALLER = InstallerBoot(
    title="web01 becomes debian-12",
    short_id="rstvwxyz",
    kernel_url="http://10.0.0.5:8081/images/live-x86_64/vmlinuz",
    initrds=(
        Initrd("http://10.0.0.5:8081/images/live-x86_64/initrd.img", "initrd0.img"),
        Initrd("http://10.0.0.5:8081/images/live-x86_64/firmware.img", "initrd1.img"),
    ),
    arguments=(
        KernelArgument("deployer.plan", "http://10.0.0.5:8081/d/TOKEN/answers/plan.json"),
        KernelArgument("ds", "nocloud;s=http://10.0.0.5:8081/"),
        KernelArgument("quiet"),
    ),
)
LOADER = "http://10.0.0.5:8081/images/live-x86_64/local.efi"

IPXE_ENTRY = """\
#!ipxe
# Asks the server what this machine should boot. docs/concepts.md explains.
set deployer_tries:int32 0
:ask
echo Deployer: asking http://10.0.0.5:8081 what ${netX/mac} should boot
chain --replace --autofree http://10.0.0.5:8081/boot/ipxe?mac=${netX/mac:hexhyp}&uuid=${uuid}\
&serial=${serial:uristring}&asset=${asset:uristring}&manufacturer=${manufacturer:uristring}\
&product=${product:uristring}&arch=${buildarch}&platform=${platform} ||
inc deployer_tries
echo Deployer: no answer (${errno}), try ${deployer_tries} of 5
iseq ${deployer_tries} 5 && goto local ||
sleep 3
goto ask
:local
echo Deployer: giving up, booting the local disk
exit
"""

IPXE_INSTALLER = """\
#!ipxe
echo Deployer rstvwxyz: web01 becomes debian-12
set deployer_tries:int32 0
:load
imgfree
echo Deployer rstvwxyz: loading http://10.0.0.5:8081/images/live-x86_64/vmlinuz
kernel --name kernel http://10.0.0.5:8081/images/live-x86_64/vmlinuz initrd=initrd0.img\
 initrd=initrd1.img deployer.plan=http://10.0.0.5:8081/d/TOKEN/answers/plan.json\
 ds=nocloud;s=http://10.0.0.5:8081/ quiet || goto failed
initrd --name initrd0.img http://10.0.0.5:8081/images/live-x86_64/initrd.img || goto failed
initrd --name initrd1.img http://10.0.0.5:8081/images/live-x86_64/firmware.img || goto failed
echo Deployer rstvwxyz: starting
boot || goto failed
:failed
inc deployer_tries
echo Deployer rstvwxyz: failed: ${errno}, try ${deployer_tries} of 5
iseq ${deployer_tries} 5 && goto local ||
sleep 5
goto load
:local
echo Deployer rstvwxyz: giving up, booting the local disk
imgfree
exit 1
"""

GRUB_INSTALLER = """\
echo 'Deployer rstvwxyz: web01 becomes debian-12'
for try in 1 2 3 4 5; do
  if linux '(http,10.0.0.5:8081)/images/live-x86_64/vmlinuz'\
 'deployer.plan=http://10.0.0.5:8081/d/TOKEN/answers/plan.json'\
 'ds=nocloud;s=http://10.0.0.5:8081/' 'quiet'; then
    if initrd '(http,10.0.0.5:8081)/images/live-x86_64/initrd.img'\
 '(http,10.0.0.5:8081)/images/live-x86_64/firmware.img'; then boot; fi
  fi
  echo 'Deployer rstvwxyz: could not load, waiting before the next try'
  sleep 5
done
echo 'Deployer rstvwxyz: giving up, booting the local disk'
exit
"""

GRUB_SEARCH = """\
if [ "$grub_platform" = efi ]; then
  for file in /EFI/BOOT/BOOTX64.EFI /EFI/BOOT/BOOTAA64.EFI /EFI/debian/shimx64.efi\
 /EFI/debian/grubx64.efi /EFI/ubuntu/shimx64.efi /EFI/redhat/shimx64.efi /EFI/centos/shimx64.efi\
 /EFI/rocky/shimx64.efi /EFI/almalinux/shimx64.efi /EFI/fedora/shimx64.efi /EFI/opensuse/shim.efi\
 /EFI/sles/shim.efi /EFI/Microsoft/Boot/bootmgfw.efi; do
    if search --no-floppy --set=root --file $file; then chainloader $file; boot; fi
  done
fi
exit
"""

HEAD = "#!ipxe\n# Nothing to do here: the local disk.\n"
CHAIN = f"chain --autofree {LOADER} ||\n"
IPXE_LOCAL = {
    ("auto", LOADER): f"iseq ${{platform}} efi && goto uefi ||\nexit\n:uefi\n{CHAIN}exit 1\n",
    ("auto", None): "iseq ${platform} efi && goto uefi ||\nexit\n:uefi\nexit 1\n",
    ("exit", LOADER): "exit\n",
    ("exit1", LOADER): "exit 1\n",
    ("sanboot", LOADER): "sanboot --no-describe --drive 0x80 ||\nexit 1\n",
    ("chain", LOADER): f"{CHAIN}exit 1\n",
    ("chain", None): "exit 1\n",
}
GRUB_LOCAL = {
    "auto": GRUB_SEARCH, "exit": "exit\n", "exit1": "exit\n", "sanboot": GRUB_SEARCH,
    "chain": GRUB_SEARCH,
}  # fmt: skip


def local(method: Any, loader: str | None = LOADER) -> LocalBoot:
    return LocalBoot(method, "uefi", "idle", loader)


def test_the_entry_is_the_same_script_for_every_machine() -> None:
    assert ipxe.entry("http://10.0.0.5:8081") == IPXE_ENTRY


def test_ipxe_is_told_to_load_the_installer_and_to_try_again() -> None:
    assert ipxe.script(INSTALLER) == IPXE_INSTALLER


def test_grub_is_told_to_load_the_installer_and_to_try_again() -> None:
    assert grub.script(INSTALLER) == GRUB_INSTALLER


@pytest.mark.parametrize(("method", "loader"), IPXE_LOCAL, ids=str)
def test_ipxe_is_told_the_way_to_the_own_disk(method: str, loader: str | None) -> None:
    assert ipxe.script(local(method, loader)) == HEAD + IPXE_LOCAL[method, loader]


@pytest.mark.parametrize("method", GRUB_LOCAL)
def test_grub_is_told_the_way_to_the_own_disk(method: str) -> None:
    assert grub.script(local(method)) == GRUB_LOCAL[method]


@pytest.mark.parametrize("reason", ["idle", "unknown", "protected", "second_claimant", "error"])
def test_a_machine_cannot_read_from_its_script_why_it_boots_its_disk(reason: str) -> None:
    told = LocalBoot("auto", "bios", reason, LOADER)
    assert ipxe.script(told) == ipxe.script(local("auto"))
    assert grub.script(told) == grub.script(local("auto"))


grub_script_check = pytest.mark.skipif(
    shutil.which("grub-script-check") is None, reason="grub-script-check is not installed"
)


@grub_script_check
@pytest.mark.parametrize(
    "decision", [INSTALLER, *map(local, GRUB_LOCAL)], ids=lambda d: repr(d)[:28]
)
def test_grub_accepts_its_scripts(decision: BootDecision) -> None:
    done = subprocess.run(
        ["grub-script-check"],
        input=grub.script(decision),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
