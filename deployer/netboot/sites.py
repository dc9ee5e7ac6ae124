"""What an existing DHCP server must be told, in its own language, from the table of loaders.

Each text begins with where it belongs. They all say the same: option 93 → loader, HTTP boot → URL
with option 60, iPXE → the boot script, and everybody else is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from deployer.netboot.dnsmasq import boot_file
from deployer.netboot.loaders import Loader, Offer, offers


class Server(StrEnum):
    DNSMASQ = "dnsmasq"
    KEA = "kea"
    ISC = "isc"
    WINDOWS = "windows"
    MIKROTIK = "mikrotik"


@dataclass(frozen=True)
class Site:
    """`tftp`: the address of the machine that serves the loaders by TFTP."""

    machine_url: str
    tftp: IPv4Address
    loaders: Collection[str]
    loader: Loader = Loader.IPXE

    @property
    def script(self) -> str:
        return f"{self.machine_url}/boot.ipxe"

    @property
    def offers(self) -> list[Offer]:
        return offers(self.loader, False, self.loaders)

    def file(self, offer: Offer) -> str:
        return boot_file(self.machine_url, offer)


_NO_SECURE_BOOT = (
    "Machines that enforce Secure Boot need a signed loader instead, by a rule of their own:",
    "shimx64.efi for x86_64, shimaa64.efi for arm64.",
)


def _comment(mark: str, *lines: str) -> list[str]:
    return [f"{mark} {line}" for line in lines]


def _dnsmasq(site: Site) -> str:
    lines = _comment(
        "#", "For /etc/dnsmasq.d/deployer.conf on the machine that gives addresses; then",
        "`dnsmasq --test` and `systemctl restart dnsmasq`.", *_NO_SECURE_BOOT,
    )  # fmt: skip
    lines += ["dhcp-userclass=set:ipxe,iPXE", "dhcp-match=set:ipxe,175"]
    for offer in site.offers:
        code = offer.client.code
        lines += [
            f"# {offer.client.label}",
            f"dhcp-match=set:arch{code},option:client-arch,{code}",
            f"dhcp-boot=tag:!ipxe,tag:arch{code},{site.file(offer)},,{site.tftp}",
        ]
        if offer.client.http:
            lines.append(f"dhcp-option-force=tag:arch{code},60,HTTPClient")
    lines += ["# iPXE: the script, not itself again", f"dhcp-boot=tag:ipxe,{site.script}"]
    return _text(lines)


def _isc(site: Site) -> str:
    lines = _comment(
        "#", "For /etc/dhcp/dhcpd.conf, at its top level or in the subnet; then `dhcpd -t` and",
        "`systemctl restart isc-dhcp-server`.", *_NO_SECURE_BOOT,
    )  # fmt: skip
    lines += [
        "option arch code 93 = unsigned integer 16;",
        "option ipxe-features code 175 = string;",
        f"next-server {site.tftp};",
        'if exists user-class and option user-class = "iPXE" {',
        *_isc_file(site.script),
        "} elsif exists ipxe-features {",
        *_isc_file(site.script),
    ]
    for offer in site.offers:
        lines += [
            f"}} elsif option arch = {_hex(offer.client.code, ':')} {{  # {offer.client.label}",
            *_isc_file(site.file(offer)),
        ]
        if offer.client.http:
            lines.append('  option vendor-class-identifier "HTTPClient";')
        else:
            lines.append(f'  option tftp-server-name "{site.tftp}";')
    return _text([*lines, "}"])


def _isc_file(name: str) -> list[str]:
    """In the header and as option 67: some firmware reads one, some the other."""
    return [f'  filename "{name}";', f'  option bootfile-name "{name}";']


def _kea(site: Site) -> str:
    """Client classes, as a document that Kea accepts whole (its JSON has comments)."""
    classes = [
        "      {",
        '        "name": "deployer-ipxe",',
        '        "test": "substring(option[77].hex, 0, 4) == \'iPXE\' or option[175].exists",',
        f'        "boot-file-name": "{site.script}",',
        f'        "option-data": [{_kea_file(site.script)}]',
        "      }",
    ]
    blocks = ["\n".join(classes), *(_kea_class(site, offer) for offer in site.offers)]
    return _text([
        *_comment("//", "The classes belong into \"client-classes\" of \"Dhcp4\" in",
                  "/etc/kea/kea-dhcp4.conf; then `kea-dhcp4 -t FILE` and `systemctl restart",
                  "kea-dhcp4-server`. Your own subnets and interfaces stay as they are.",
                  *_NO_SECURE_BOOT),
        "{",
        '  "Dhcp4": {',
        '    "client-classes": [',
        ",\n".join(blocks),
        "    ]",
        "  }",
        "}",
    ])  # fmt: skip


def _kea_class(site: Site, offer: Offer) -> str:
    code = offer.client.code
    test = f"option[93].hex == 0x{code:04x} and not member('deployer-ipxe')"
    options = (
        '{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true}'
        if offer.client.http
        else f'{{"name": "tftp-server-name", "data": "{site.tftp}"}}'
    )
    return "\n".join([
        "      {",
        f'        "name": "deployer-arch{code}",  // {offer.client.label}',
        f'        "test": "{test}",',
        f'        "next-server": "{site.tftp}",',
        f'        "boot-file-name": "{site.file(offer)}",',
        f'        "option-data": [{_kea_file(site.file(offer))}, {options}]',
        "      }",
    ])  # fmt: skip


def _kea_file(name: str) -> str:
    return f'{{"name": "boot-file-name", "data": "{name}"}}'


def _windows(site: Site) -> str:
    lines = _comment(
        "#", "For PowerShell as administrator on the DHCP server; first set $Scope to yours.",
        "Option 60 must not be set for the whole scope: it would send every machine to port 4011.",
        *_NO_SECURE_BOOT,
    )  # fmt: skip
    lines += [
        "$Scope = '10.0.0.0'",
        "$ErrorActionPreference = 'Stop'",
        "Add-DhcpServerv4Class -Name 'Deployer iPXE' -Type User -Data 'iPXE'",
        *_policy("Deployer iPXE", 1, "-UserClass EQ,'Deployer iPXE'", {67: site.script}),
    ]
    for order, offer in enumerate(site.offers, 2):
        # HTTP boot and PXE differ in the class that the firmware sends, and its number.
        kind = "HTTPClient" if offer.client.http else "PXEClient"
        data = f"{kind}:Arch:{offer.client.code:05d}"
        values = {67: site.file(offer)}
        values |= {60: "HTTPClient"} if offer.client.http else {66: str(site.tftp)}
        name = f"Deployer arch {offer.client.code}"
        lines += [
            f"# {offer.client.label}",
            f"Add-DhcpServerv4Class -Name '{name}' -Type Vendor -Data '{data}'",
            *_policy(name, order, f"-VendorClass EQ,'{name}*'", values),
        ]
    return _text(lines)


def _policy(name: str, order: int, condition: str, values: dict[int, str]) -> list[str]:
    """The first policy that fits decides an option, so iPXE comes first."""
    lines = [
        f"Add-DhcpServerv4Policy -Name '{name}' -ScopeId $Scope -ProcessingOrder {order}"
        f" -Condition OR {condition}"
    ]
    for option, value in sorted(values.items()):
        lines.append(
            f"Set-DhcpServerv4OptionValue -ScopeId $Scope -PolicyName '{name}' -OptionId {option}"
            f" -Value '{value}'"
        )
    return lines


def _mikrotik(site: Site) -> str:
    lines = _comment(
        "#", "For the terminal of RouterOS 7. Where it says dhcp1, name your DHCP server; the last",
        "line is for all of its networks.", *_NO_SECURE_BOOT,
    )  # fmt: skip
    lines += [
        "/ip dhcp-server option",
        _option("deployer-script", 67, site.script),
        _option("deployer-tftp", 66, str(site.tftp)),
        _option("deployer-http", 60, "HTTPClient"),
    ]
    lines += [_option(f"deployer-file{o.client.code}", 67, site.file(o)) for o in site.offers]
    lines += ["/ip dhcp-server option sets",
              "add name=deployer-ipxe options=deployer-script"]  # fmt: skip
    for offer in site.offers:
        code = offer.client.code
        other = "deployer-http" if offer.client.http else "deployer-tftp"
        lines.append(f"add name=deployer-arch{code} options=deployer-file{code},{other}")
    # The first that matches decides, so iPXE stands first.
    lines += [
        "/ip dhcp-server matcher",
        'add name=deployer-ipxe server=dhcp1 code=77 matching-type=substring value="iPXE"'
        " option-set=deployer-ipxe",
    ]
    lines += [
        f"add name=deployer-arch{o.client.code} server=dhcp1 code=93 matching-type=exact"
        f" value=0x{o.client.code:04x} option-set=deployer-arch{o.client.code}"
        for o in site.offers
    ]
    lines.append(f"/ip dhcp-server network set [find] next-server={site.tftp}")
    return _text(lines)


def _option(name: str, code: int, value: str) -> str:
    return f"add name={name} code={code} value=\"s'{value}'\""


def _hex(code: int, between: str) -> str:
    return f"{code >> 8:02x}{between}{code & 0xFF:02x}"


def _text(lines: list[str]) -> str:
    return "\n".join([*lines, ""])


_WRITERS: dict[Server, Callable[[Site], str]] = {
    Server.DNSMASQ: _dnsmasq, Server.KEA: _kea, Server.ISC: _isc, Server.WINDOWS: _windows,
    Server.MIKROTIK: _mikrotik,
}  # fmt: skip


def configuration(server: Server, site: Site) -> str:
    return _WRITERS[server](site)
