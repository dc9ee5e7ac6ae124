"""How Fedora CoreOS divides its disk: Ignition's `storage` and mount units for a description.

The image brings BIOS-BOOT or a reserved partition, EFI-SYSTEM, boot and, as number 4, root. What is
asked for beside it comes behind root. https://docs.fedoraproject.org/en-US/fedora-coreos/storage/
"""

from __future__ import annotations

from typing import Any

# A link that exists while Ignition runs, and only then.
BOOT_DISK = "/dev/disk/by-id/coreos-boot-disk"
# install.sh puts the chosen disks here; until then it is a path that no machine has.
MIRRORED = ("/dev/disk/by-id/CHOSEN-1", "/dev/disk/by-id/CHOSEN-2")
# 1 MiB to begin with, and what the image has before root: 1, 127 and 384.
ROOT_BEGINS_MIB = 513
SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
# By arch: what comes first on a disk. Without a BIOS nothing boots from it, and it is reserved.
FIRST = {
    "x86_64": ("bios", "21686148-6449-6E6F-744E-656564454649"),
    "arm64": ("reserved", "8DA63339-0007-60C0-C436-083AC8230908"),
}
# Folders of / are links into /var, or belong to the image and cannot be written.
_LINKS = {"home": "/var/home", "srv": "/var/srv", "opt": "/var/opt", "mnt": "/var/mnt",
          "root": "/var/roothome"}  # fmt: skip


def real_path(mount: str) -> str:
    """Where a mount point really is; ValueError where the system has no place for it."""
    first, _, rest = mount[1:].partition("/")
    if mount.startswith("/usr/local/"):
        first, rest = "usr/local", mount.removeprefix("/usr/local/")
    base = {"var": "/var", "usr/local": "/var/usrlocal", **_LINKS}.get(first)
    if base is None:
        raise ValueError(
            f"{mount} cannot be a volume: CoreOS can only be written below /var, /home, /srv, /opt,"
            " /mnt, /root and /usr/local"
        )
    return f"{base}/{rest}" if rest else base


def disks(storage: dict[str, Any], layout: str, arch: str) -> dict[str, Any]:
    """`storage` for Ignition, `units` that mount, and `rest_mib` that root must leave, or none."""
    root, others = storage["volumes"][0], storage["volumes"][1:]
    swap = storage["swap_mib"] or 0
    if layout == "raid1":
        if others or swap:
            raise ValueError("layout raid1 mirrors CoreOS' own partitions; remove volumes and swap")
        return _mirrored(arch, root["fs"] or "xfs")
    if not (others or swap):
        return _only_root(root)
    parts: list[dict[str, Any]] = []
    filesystems, units = [], []
    wanted: list[tuple[str, str, int]] = [("swap", "swap", swap)] if swap else []
    wanted += [(real_path(v["mount"]), v["fs"] or "xfs", v["size_mib"] or 0) for v in others]
    # A size of 0 takes what is left, so that one comes last. Numbers are written out: Ignition 2.20
    # to 2.26 fails at number 0.
    for number, (path, fs, size) in enumerate(sorted(wanted, key=lambda w: w[2] == 0), start=5):
        label = "deployer-" + path.strip("/").replace("/", "-")
        kind = {"typeGuid": SWAP} if fs == "swap" else {}
        parts.append({"number": number, "label": label, "sizeMiB": size, **kind})
        filesystems.append(_filesystem(label, fs, None if fs == "swap" else path))
        units.append(_swap_unit(label) if fs == "swap" else _mount_unit(path, label, fs))
    taken = sum(part["sizeMiB"] for part in parts)
    mine = {"number": 4, "label": "root", "sizeMiB": root["size_mib"] or 0, "resize": True}
    disk = {"device": BOOT_DISK, "wipeTable": False, "partitions": [mine, *parts]}
    return {
        "disks": [disk], "raid": [], "units": units,
        "filesystems": [*_only_root(root)["filesystems"], *filesystems],
        "rest_mib": None if root["size_mib"] else taken,
    }  # fmt: skip


def _only_root(root: dict[str, Any]) -> dict[str, Any]:
    """Its file system is made anew where another one than the image's is wanted."""
    anew = [] if root["fs"] in (None, "xfs") else [_root("/dev/disk/by-partlabel/root", root["fs"])]
    return {"disks": [], "raid": [], "filesystems": anew, "units": [], "rest_mib": None}


def _root(device: str, fs: str) -> dict[str, Any]:
    return {"device": device, "format": fs, "label": "root", "wipeFilesystem": True}


def _filesystem(label: str, fs: str, path: str | None) -> dict[str, Any]:
    made = {"device": f"/dev/disk/by-partlabel/{label}", "format": fs, "wipeFilesystem": True}
    return made | ({"path": path} if path else {})


def _mirrored(arch: str, fs: str) -> dict[str, Any]:
    """Every partition on both disks, as Butane writes `boot_device: {mirror: ...}`.

    The first boot keeps the system in memory meanwhile, so it needs 4 GiB. The metadata of /boot is
    at the end, so that GRUB can read either half.
    """
    name, guid = FIRST[arch]
    made = [
        {"device": device, "wipeTable": True, "partitions": [
            {"label": f"{name}-{n}", "sizeMiB": 1, "typeGuid": guid},
            {"label": f"esp-{n}", "sizeMiB": 127, "typeGuid": ESP},
            {"label": f"boot-{n}", "sizeMiB": 384},
            {"label": f"root-{n}"},
        ]}
        for n, device in enumerate(MIRRORED, start=1)
    ]  # fmt: skip
    raid = [
        {"name": f"md-{name}", "level": "raid1", **options,
         "devices": [f"/dev/disk/by-partlabel/{name}-{n}" for n in (1, 2)]}
        for name, options in (("boot", {"options": ["--metadata=1.0"]}), ("root", {}))
    ]  # fmt: skip
    filesystems = [
        *({"device": f"/dev/disk/by-partlabel/esp-{n}", "format": "vfat", "label": f"esp-{n}",
           "wipeFilesystem": True} for n in (1, 2)),
        {"device": "/dev/md/md-boot", "format": "ext4", "label": "boot", "wipeFilesystem": True},
        _root("/dev/md/md-root", fs),
    ]  # fmt: skip
    return {"disks": made, "raid": raid, "filesystems": filesystems, "units": [], "rest_mib": None}


def escaped(path: str) -> str:
    """A path as the name of a unit: systemd-escape(1) --path."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "_:" or (c == "." and at)) else
        "-" if c == "/" else "".join(f"\\x{byte:02x}" for byte in c.encode())
        for at, c in enumerate(path.strip("/"))
    )  # fmt: skip


def _mount_unit(path: str, label: str, fs: str) -> dict[str, str]:
    device = f"/dev/disk/by-partlabel/{label}"
    # "%" and the backslash of an escaped name are read by systemd once more here.
    check = f"systemd-fsck@{escaped(device)}.service"
    contents = (
        f"[Unit]\nRequires={check}\nAfter={check}\n\n[Mount]\nWhere={path}\nWhat={device}\n"
        f"Type={fs}\n\n[Install]\nRequiredBy=local-fs.target\n"
    )
    return {"name": f"{escaped(path)}.mount", "contents": contents}


def _swap_unit(label: str) -> dict[str, str]:
    device = f"/dev/disk/by-partlabel/{label}"
    contents = f"[Swap]\nWhat={device}\n\n[Install]\nRequiredBy=swap.target\n"
    return {"name": f"{escaped(device)}.swap", "contents": contents}
