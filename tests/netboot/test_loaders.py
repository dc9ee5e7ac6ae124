"""Which loader a machine's firmware is given: the table, and what it must never say."""

from __future__ import annotations

import pytest

from deployer.netboot.loaders import (
    CLIENTS,
    LOADERS,
    SIGNED,
    Loader,
    Offer,
    Refusal,
    choose,
    offers,
    standard,
)

ALL = standard()


def file(code: int, want: Loader = Loader.IPXE, secure: bool = False) -> str | None:
    chosen = choose(code, want, secure, ALL)
    return chosen.file if isinstance(chosen, Offer) else None


def test_each_firmware_is_given_the_loader_that_its_site_wants() -> None:
    table = {code: [file(code, want) for want in Loader] for code in CLIENTS}
    assert table == {
        0: ["undionly.kpxe", "grub-i386-pc.0", "lpxelinux.0"],
        6: ["grub-i386.efi", "grub-i386.efi", "grub-i386.efi"],
        7: ["snponly.efi", "grub-x86_64.efi", "snponly.efi"],
        9: ["snponly.efi", "grub-x86_64.efi", "snponly.efi"],
        10: ["grub-arm.efi", "grub-arm.efi", "grub-arm.efi"],
        11: ["grub-arm64.efi", "grub-arm64.efi", "grub-arm64.efi"],
        15: ["grub-i386.efi", "grub-i386.efi", "grub-i386.efi"],
        16: ["snponly.efi", "grub-x86_64.efi", "snponly.efi"],
        18: ["grub-arm.efi", "grub-arm.efi", "grub-arm.efi"],
        19: ["grub-arm64.efi", "grub-arm64.efi", "grub-arm64.efi"],
    }


def test_the_newer_ipxe_for_arm_is_taken_where_the_image_has_it() -> None:
    chosen = choose(11, Loader.IPXE, False, ALL | {"ipxe-arm64.efi"})
    assert isinstance(chosen, Offer) and chosen.file == "ipxe-arm64.efi"


@pytest.mark.parametrize("code", [*CLIENTS, 1, 27, 28, 999])
@pytest.mark.parametrize("want", Loader)
def test_t029_secure_boot_is_given_a_signed_chain_or_a_reason(code: int, want: Loader) -> None:
    signed = {name for names in SIGNED.values() for name in names}
    chosen = choose(code, want, True, ALL)
    if isinstance(chosen, Offer):
        assert chosen.file in signed
        assert chosen.client.firmware == "uefi"
    else:
        assert "secure_boot" in chosen.reason or "no loader for client" in chosen.reason
        assert "switch" not in chosen.reason and "disable" not in chosen.reason


def test_the_signed_chain_of_each_processor() -> None:
    assert {code: file(code, secure=True) for code in CLIENTS} == {
        0: None, 6: None, 7: "shimx64.efi", 9: "shimx64.efi", 10: None, 11: "shimaa64.efi",
        15: None, 16: "shimx64.efi", 18: None, 19: "shimaa64.efi",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "secure", "missing", "reason"),
    [
        (27, False, set(), "no loader for client architecture 27 (RISC-V, 64 bit)"),
        (4242, False, set(), "no loader for client architecture 4242 (not known here)"),
        (0, True, set(), "a BIOS knows no Secure Boot; set the machine to UEFI, or correct"),
        (6, True, set(), "nobody signs a loader for UEFI x86, 32 bit"),
        (7, False, {"snponly.efi", "ipxe.efi"}, "holds no snponly.efi or ipxe.efi"),
        (7, True, {"grubx64.efi"}, "holds no shimx64.efi"),
    ],
)
def test_a_refusal_says_why(code: int, secure: bool, missing: set[str], reason: str) -> None:
    chosen = choose(code, Loader.IPXE, secure, ALL - missing)
    assert isinstance(chosen, Refusal)
    assert reason in chosen.reason


def test_a_loader_without_what_it_loads_next_is_not_offered() -> None:
    without = ALL - {"ldlinux.c32"}
    assert isinstance(choose(0, Loader.PXELINUX, False, without), Refusal)
    assert {o.client.code for o in offers(Loader.IPXE, True, ALL - {"grubaa64.efi"})} == {7, 9, 16}


def test_the_image_recipe_makes_every_file_of_the_table() -> None:
    from deployer.media.build.loaders import FILES

    made = {file.target for file in FILES}
    named = {name for table in LOADERS.values() for names in table.values() for name in names}
    assert named | ALL <= made
