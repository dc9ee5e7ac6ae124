"""Hosts and profiles as hypothesis makes them up: everything that the models accept."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
HOST_NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
# Printable, with a liking for what formats and shells take for their own.
PRINTABLE = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
TEXT = st.text(alphabet="a'\"\\$`{}%<>&;#|! \tü=~" + "€", max_size=12) | st.text(
    PRINTABLE, max_size=12
)
LINES = TEXT.map(lambda text: text.replace("\t", " "))
BLOCKS = st.lists(TEXT, min_size=1, max_size=4).map("\n".join)
MACS = st.binary(min_size=5, max_size=5).map(lambda raw: f"02:{raw.hex(':')}")
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str).filter(lambda ip: "%" not in ip)
BASE64 = st.text("ABCabc019+/", min_size=20, max_size=40)
COMMENTS = st.text(PRINTABLE, max_size=10)
KEYS = st.one_of(
    st.builds("{} {}".format, st.sampled_from(["ssh-ed25519", "ssh-rsa"]), BASE64),
    st.builds("ssh-ed25519 {} {}".format, BASE64, COMMENTS),
)
HASHES = st.builds("$6${}$abcdefgh{}".format, st.text("abc./", min_size=1, max_size=8), BASE64.map(
    lambda text: text.replace("+", "."))
)  # fmt: skip
USER_NAMES = st.from_regex(r"[a-z_][a-z0-9_-]{0,8}", fullmatch=True)

NICS = st.fixed_dictionaries(
    {},
    optional={
        "dhcp": st.booleans(),
        "addresses": st.lists(
            st.builds("{}/{}".format, IPV4, st.integers(1, 32))
            | st.builds("{}/{}".format, IPV6, st.integers(1, 128)), max_size=3,
        ),
        "dns": st.lists(IPV4 | IPV6, max_size=2),
        "search": st.lists(HOST_NAMES, max_size=2),
        "mtu": st.integers(576, 9216),
    },
)  # fmt: skip


@st.composite
def hosts(draw: st.DrawFn) -> dict[str, object]:
    macs = draw(st.lists(MACS, min_size=1, max_size=3, unique=True))
    nics = [{**draw(NICS), "mac": mac} for mac in macs if draw(st.booleans())]
    host: dict[str, object] = {"name": draw(HOST_NAMES), "macs": macs}
    host |= {"network": {"interfaces": nics}} if nics else {}
    host |= {"uuid": str(draw(st.uuids(version=4)))} if draw(st.booleans()) else {}
    return host | ({"serial": draw(LINES)} if draw(st.booleans()) else {})


USERS = st.fixed_dictionaries(
    {"name": USER_NAMES.filter(lambda name: name not in ("root", "deployer"))},
    optional={
        "sudo": st.booleans(), "ssh_keys": st.lists(KEYS, max_size=2), "password_hash": HASHES,
        "shell": LINES,
    },
)  # fmt: skip

PROFILES = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "locale": st.sampled_from(["C.UTF-8", "de_CH.UTF-8", "en_US"]),
        "keyboard": st.sampled_from(["us", "de-latin1"]),
        "timezone": st.sampled_from(["Etc/UTC", "America/Argentina/Buenos_Aires"]),
        "storage": st.sampled_from([{"layout": "plain"}, {"layout": "lvm"}]),
        "users": st.lists(USERS, max_size=3, unique_by=lambda user: user["name"]),
        "root": st.fixed_dictionaries(
            {}, optional={"ssh_keys": st.lists(KEYS, max_size=2), "password_hash": HASHES}
        ),
        "packages": st.lists(NAMES, max_size=3),
        "kernel_args": st.lists(st.sampled_from(["quiet", "console=tty1", "panic=3"]), max_size=3),
        "scripts": st.fixed_dictionaries({}, optional={"first_boot": BLOCKS}),
        "verify": st.sampled_from([{}, False]),
        "vars": st.dictionaries(NAMES, LINES, max_size=2),
    },
)  # fmt: skip

# Whether they add up, the description itself says: not every list of them does.
VOLUMES = st.lists(
    st.fixed_dictionaries(
        {
            "mount": st.from_regex(r"(/[A-Za-z0-9][A-Za-z0-9._-]{0,20}){1,3}", fullmatch=True),
            "size": st.integers(300 * 2**20, 2**40),
            "fs": st.sampled_from(["ext4", "xfs", "btrfs"]),
        }
    ),
    max_size=5, unique_by=lambda volume: volume["mount"],
)  # fmt: skip
