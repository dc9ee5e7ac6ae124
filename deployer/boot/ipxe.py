"""The boot decision as an iPXE script, for iPXE of 2019 (Debian 12's) and later.

iPXE has no quoting: what could end a word or begin a command is refused when a value is made
(`core.bootspec`), so printing here is plain. https://ipxe.org/scripting
"""

from __future__ import annotations

from collections.abc import Sequence

from deployer.core.bootspec import BootDecision, Initrd, InstallerBoot, KernelArgument, LocalBoot

_TRIES = 5


def arguments(args: Sequence[KernelArgument]) -> str:
    """Arguments as iPXE takes them: words separated by one blank."""
    return " ".join(str(argument) for argument in args)


def entry(base: str) -> str:
    """The same script for everybody: it collects what the machine knows and asks again."""
    facts = "&".join(
        f"{name}=${{{setting}}}"
        for name, setting in {
            "mac": "netX/mac:hexhyp",
            "uuid": "uuid",
            "serial": "serial:uristring",
            "asset": "asset:uristring",
            "manufacturer": "manufacturer:uristring",
            "product": "product:uristring",
            "arch": "buildarch",
            "platform": "platform",
        }.items()
    )
    return "\n".join(
        [
            "#!ipxe",
            "# Asks the server what this machine should boot. docs/concepts.md explains.",
            "set deployer_tries:int32 0",
            ":ask",
            f"echo Deployer: asking {base} what ${{netX/mac}} should boot",
            f"chain --replace --autofree {base}/boot/ipxe?{facts} ||",
            "inc deployer_tries",
            "echo Deployer: no answer (${errno}), try ${deployer_tries} of " + str(_TRIES),
            f"iseq ${{deployer_tries}} {_TRIES} && goto local ||",
            "sleep 3",
            "goto ask",
            ":local",
            "echo Deployer: giving up, booting the local disk",
            # Not `exit 1`: BIOS and most UEFI go on to the next device after a plain exit.
            "exit",
            "",
        ]
    )


def from_cd(base: str) -> str:
    """For an iPXE that did not come by the network: an address first, then as everybody."""
    return "\n".join(
        [
            "#!ipxe",
            "set deployer_tries:int32 0",
            ":ask",
            f"dhcp && chain --replace --autofree {base}/boot.ipxe ||",
            "inc deployer_tries",
            f"iseq ${{deployer_tries}} {_TRIES} && exit ||",
            "sleep 3",
            "goto ask",
            "",
        ]
    )


def script(decision: BootDecision) -> str:
    """What this machine boots."""
    if isinstance(decision, InstallerBoot):
        return _installer(decision)
    return "\n".join(["#!ipxe", "# Nothing to do here: the local disk.", *_local(decision), ""])


def _installer(boot: InstallerBoot) -> str:
    """Load, and try again when that fails: a download lost once must not lose the deployment."""
    me = f"Deployer {boot.short_id}:"
    # UEFI finds its initrds by these names; BIOS does not care.
    named = tuple(KernelArgument("initrd", each.name) for each in boot.initrds if boot.linux)
    name = "kernel" if boot.linux else boot.kernel_url.rsplit("/", 1)[-1]
    return "\n".join(
        [
            "#!ipxe",
            f"echo {me} {boot.title}",
            "set deployer_tries:int32 0",
            ":load",
            "imgfree",
            f"echo {me} loading {boot.kernel_url}",
            f"kernel --name {name} {boot.kernel_url} {arguments(named + boot.arguments)}"
            " || goto failed",
            *(f"{_initrd(boot, each)} || goto failed" for each in boot.initrds),
            f"echo {me} starting",
            "boot || goto failed",
            ":failed",
            "inc deployer_tries",
            f"echo {me} failed: ${{errno}}, try ${{deployer_tries}} of {_TRIES}",
            f"iseq ${{deployer_tries}} {_TRIES} && goto local ||",
            "sleep 5",
            "goto load",
            ":local",
            f"echo {me} giving up, booting the local disk",
            "imgfree",
            "exit 1",
            "",
        ]
    )


def _initrd(boot: InstallerBoot, each: Initrd) -> str:
    """An argument is the file's name in the archive that iPXE makes for a BIOS kernel: wimboot
    knows its files by nothing else there, and Linux must not see its initrd wrapped once more.
    https://ipxe.org/cmd/initrd
    """
    name = "" if boot.linux else f" {each.name}"
    return f"initrd --name {each.name} {each.url}{name}"


def _local(boot: LocalBoot) -> list[str]:
    """`auto`: plain exit on BIOS, a small loader that finds the disk's own on UEFI.

    Plain exit drops some UEFI firmware into its set-up menu (OVMF 2022.11 after snponly.efi).
    """
    chain = [f"chain --autofree {boot.loader_url} ||"] if boot.loader_url else []
    return {
        "auto": ["iseq ${platform} efi && goto uefi ||", "exit", ":uefi", *chain, "exit 1"],
        "exit": ["exit"],
        "exit1": ["exit 1"],
        "sanboot": ["sanboot --no-describe --drive 0x80 ||", "exit 1"],
        "chain": [*chain, "exit 1"],
    }[boot.method]
