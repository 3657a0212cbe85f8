"""Small inputs that would cost much: parsers end in time and memory that grow with the size, and no faster.

The limits themselves have their tests beside the parsers: bombs by size, ratio and entries in `oci/test_unpack.py`,
devices, links and ways out there and in `build/test_deb.py`, aliases in `base/test_strict_yaml.py`.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.build.conftest import Item, ar, make_deb, tar
from tests.unit.fuzz.parsers import (
    INSTANCE,
    OSV,
    RELEASE_FILE,
    SIGNATURE,
    STATED,
    TRUSTED,
    archived,
    debian,
    installed,
    unpacked,
)
from tests.unit.scan.test_trivy_report import document, vulnerability
from tests.unit.sign.keyless.conftest import RELEASE, STATEMENT
from tests.unit.sign.keyless.instance import Made, b64, oid, tlv

from lockgate.base import canonical, strict_yaml
from lockgate.base.errors import LockgateError, SignatureInvalid, TrustError, UsageError
from lockgate.build import deb822, debversion, gomod, release
from lockgate.oci import auth
from lockgate.oci.digest import Digest
from lockgate.oci.entries import Budget, LayerReader, Limits
from lockgate.oci.manifest import LAYER_GZIP, Descriptor
from lockgate.oci.tree import Tree
from lockgate.scan import osv, trivy_report
from lockgate.sign import pem
from lockgate.sign.keyless import der, material, timestamp
from lockgate.sign.keyless.trusted_root import TrustedRoot
from lockgate.sign.keyless.verify import verify_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 8.0
"""Seconds of the processor; each of these took from ten seconds to hours before it was bounded, and takes under one."""

BLOCK = 512


@contextlib.contextmanager
def soon() -> Iterator[None]:
    """Check that a block needs little of the processor."""
    started = time.process_time()
    yield
    assert time.process_time() - started < SOON


def head(name: str, kind: bytes, size: int) -> bytes:
    """Return one header of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


def extended(data: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return an extended header with its content."""
    return head("pax", kind, len(data)) + data + b"\0" * (-len(data) % BLOCK)


END = b"\0" * 1024


# --- layers


def test_records_of_an_extended_header_are_read_once() -> None:
    """A megabyte of the shortest records there are, several times."""
    bomb = extended(b"6 a=b\n" * 170_000)
    layer = gzip.compress((bomb + head("x", tarfile.REGTYPE, 0)) * 6 + END, 1)
    with soon():
        unpacked(layer)


def test_extended_headers_do_not_pile_up() -> None:
    """Many in a row, all for one entry: together they are held to what one may have."""
    pile = b"".join(
        extended(b"100012 k%05d=%s\n" % (number, b"v" * 99_997)) for number in range(30)
    )
    with pytest.raises(TrustError, match="extended header"):
        unpacked(gzip.compress(pile + head("x", tarfile.REGTYPE, 0) + END, 1))


@pytest.mark.parametrize("length", [b"1_0", b"+10", b"-10", b" 10", b"0010", b"\xd9\xa1\xd9\xa0"])
def test_a_length_is_written_one_way(length: bytes) -> None:
    """What Python takes for a number and tar does not, is none: two readers would see two archives."""
    record = length + b" path=ab\n"
    with pytest.raises(UsageError, match="not a readable archive"):
        unpacked(gzip.compress(extended(record) + head("x", tarfile.REGTYPE, 0) + END))


@pytest.mark.parametrize("value", ["1_0", "+1", " 1", "1 ", "\u0661", "-1", ""])
@pytest.mark.parametrize("key", ["size", "uid", "gid", "mtime"])
def test_a_number_is_written_one_way(key: str, value: str) -> None:
    """The same for sizes, owners and times."""
    record = f" {key}={value}\n".encode()
    length = len(record) + 2
    data = f"{length}".encode() + record
    with pytest.raises(UsageError, match="not a readable archive"):
        unpacked(gzip.compress(extended(data) + head("x", tarfile.REGTYPE, 0) + END))


def test_members_of_gzip_are_counted() -> None:
    """A layer of many empty members is a bomb as one of many entries is: each is work, and none is content."""
    blob = gzip.compress(b"", 9, mtime=0) * 200_000
    reader = LayerReader(
        io.BytesIO(blob),
        Descriptor.of(LAYER_GZIP, blob),
        Digest.of(b""),
        Budget(Limits(entries=1000)),
    )
    with soon(), pytest.raises(TrustError, match="too many"):
        list(reader.entries())


def test_folders_that_no_entry_names_are_counted() -> None:
    """An entry two hundred folders deep makes two hundred folders; a small layer must not make millions."""
    names = ["/".join([f"{number}", *(["d"] * 150), "x"]) for number in range(12)]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    blob = gzip.compress(file.getvalue())
    budget = Budget(Limits(entries=1000))
    reader = LayerReader(
        io.BytesIO(blob),
        Descriptor.of(LAYER_GZIP, blob),
        Digest.of(file.getvalue()),
        budget,
    )
    with (
        TemporaryDirectory() as folder,
        Tree(Path(folder)) as tree,
        pytest.raises(TrustError, match="too many"),
    ):
        tree.apply(reader)


def test_an_archive_of_a_layout_is_scanned_in_one_go() -> None:
    """A megabyte of what begins as a record about sparse files and is none."""
    data = extended(b" GNU.sparse" * 95_000) * 3 + END
    with soon(), pytest.raises(LockgateError):
        archived(data)


# --- packages


@pytest.mark.parametrize("packing", ["", ".gz", ".xz", ".zst"])
@pytest.mark.parametrize("member", ["control.tar", "data.tar"])
def test_every_damage_of_a_packed_member_is_told(member: str, packing: str) -> None:
    """Bytes in the middle of a compressed member that its library stumbles over in its own way."""
    whole = make_deb(items=[Item("./usr/x", bytes(range(256)) * 400)], packing=packing)
    start = whole.index(member.encode()) + 60
    for at in range(start, len(whole), max(1, (len(whole) - start) // 60)):
        changed = bytearray(whole)
        changed[at : at + 8] = b"\xff" * 8
        with contextlib.suppress(LockgateError):
            debian(bytes(changed))


def nested(kind: bytes) -> bytes:
    """Return a package whose content begins with very many extended headers."""
    one = extended(b"x\0" if kind != tarfile.XHDTYPE else b"6 a=b\n", kind)
    return ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar", tar([Item("./control", b"Package: x\n")])),
            ("data.tar", one * 3000 + END),
        ]
    )


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_headers_before_headers_end(kind: bytes) -> None:
    """The library's reader calls itself for each; the error is one of ours."""
    with contextlib.suppress(UsageError):
        debian(nested(kind))


def test_a_huge_size_in_a_package_is_an_error() -> None:
    """More bytes than a file can have."""
    for size in (
        b"\x80" + b"\xff" * 11,
        b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7,
        b"77777777777\0",
    ):
        content = bytearray(tar([Item("./usr/x", b"content")]))
        content[124:136] = size
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
        control = tar([Item("./control", b"Package: x\n")])
        with pytest.raises(UsageError):
            debian(
                ar(
                    [
                        ("debian-binary", b"2.0\n"),
                        ("control.tar", control),
                        ("data.tar", bytes(content)),
                    ]
                )
            )


def test_many_lines_of_one_field_are_joined_once() -> None:
    """A field of as many lines as a control file can have."""
    with soon():
        (found,) = deb822.paragraphs("a: b\n" + " x\n" * 1_300_000)
    assert len(found["a"]) == 2_600_001


@pytest.mark.parametrize("method", [0, 8, 12, 14])
def test_every_damage_of_a_wheel_is_told(method: int) -> None:
    """Each kind of compression, and each byte of the directory at its end."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("pkg/\u00e4.py", "x = 1\n" * 30)
        made.writestr(
            "pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n"
        )
    whole = file.getvalue()
    installed(whole)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] = (0x00, 0xFF, whole[at] ^ 0x80)[at % 3]
        with contextlib.suppress(LockgateError):
            installed(bytes(changed))


# --- certificates and timestamps


def test_elements_of_der_are_read_once() -> None:
    """Many elements of two bytes: refused for their number, or read in one go."""
    for count in (20_000, 3_000_000):
        with soon(), contextlib.suppress(SignatureInvalid):
            der.read(tlv(0x30, b"\x05\x00" * count)).children()


@pytest.mark.parametrize("size", [2000, 500_000])
def test_an_object_identifier_has_an_end(size: int) -> None:
    """One number of very many bits is none, and is not written out."""
    value = der.Value(der.OID, b"\xff" * size + b"\x01", b"")
    with soon(), pytest.raises(SignatureInvalid):
        der.oid(value)


def test_a_timestamp_is_of_some_kilobytes() -> None:
    """One of megabytes is refused before it is looked at."""
    bomb = tlv(0x30, tlv(0x30, tlv(0x02, b"\0")), tlv(0x04, b"\0" * 5_000_000))
    with soon(), pytest.raises(SignatureInvalid):
        timestamp.check(bomb, SIGNATURE, TRUSTED)


def test_a_number_of_a_bundle_has_an_end() -> None:
    """More digits than Python turns into a number: an error of ours."""
    for text in ("9" * 5000, "9" * 20):
        made = Made(INSTANCE, STATED)
        made.entry["logIndex"] = text
        with pytest.raises(SignatureInvalid, match="where a number belongs"):
            material.parse(made.data())


def test_signatures_of_a_checkpoint_have_an_end() -> None:
    """The log's own good signature ten thousand times: each costs a verification, so that few are taken."""
    made = Made(INSTANCE, STATEMENT)
    proof = made.entry["inclusionProof"]["checkpoint"]
    note, _, line = proof["envelope"].rpartition("\n\n")
    proof["envelope"] = f"{note}\n\n{line * 10_000}"
    with soon(), pytest.raises(SignatureInvalid, match="signatures"):
        verify_envelope(made.data(), TRUSTED, [RELEASE])


def test_a_certificate_of_another_version_is_refused() -> None:
    """X.509 has versions 1 and 3; what the library says of another is translated."""
    root = INSTANCE.root()
    certificate = bytearray(INSTANCE.fulcio.root.public_bytes(Encoding.DER))
    at = bytes(certificate).index(b"\xa0\x03\x02\x01\x02")
    certificate[at + 4] = 7
    root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = b64(
        bytes(certificate)
    )
    with pytest.raises(TrustError):
        TrustedRoot.parse(json.dumps(root).encode())


# --- text


def test_a_challenge_of_blanks_is_read_once() -> None:
    """As long as a header may be."""
    for text in (
        " " * 100_000,
        "\t," * 50_000,
        "Basic" + " " * 100_000 + "x",
        "a=" * 50_000,
        "B a=" + '"\\' * 50_000,
    ):
        with soon():
            auth.challenges([text])


def test_a_key_file_of_beginnings_is_refused_at_once() -> None:
    """As large as a key file may be."""
    with soon(), pytest.raises(TrustError):
        pem.parse(b"-----BEGIN A-----\n" * 3600, what="key")


@pytest.mark.parametrize("depth", [201, 900, 5000, 100_000])
@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_json_is_nested_to_a_limit(depth: int, pair: str) -> None:
    """The same limit with every Python and under every caller, so that what was read can be written again."""
    opening, closing = pair[:-1], pair[-1]
    deep = opening * depth + "1" + closing * depth
    for text in (deep, f'{{"a":"[[[[","b":{deep}}}', f"[{deep}]"):
        with soon(), pytest.raises(UsageError, match="nested too deeply"):
            canonical.loads(text.encode())


def test_what_is_nested_to_the_limit_is_read_and_written() -> None:
    """Two hundred levels; brackets in texts are no levels."""
    text = b"[" * 200 + b"]" * 200
    assert canonical.encode(canonical.loads(text)) == text
    assert canonical.loads(b'["' + b"[" * 500 + rb"\"[{\\" + b'"]')


@pytest.mark.parametrize(
    "text",
    [
        "a: 1:30",
        "a: 190:20:30.15",
        "a: 0x" + "f" * 5000,
        "a: 0b" + "1" * 9000,
        "a: 99999999999999999999",
    ],
)
def test_yaml_numbers_are_of_usual_size_and_form(text: str) -> None:
    """A time of day is not read as a number of base 60, and no number is larger than a file format can need."""
    with pytest.raises(UsageError, match="put it in quotes"):
        strict_yaml.load(text.encode(), what="file")


def test_yaml_of_many_digits_is_refused_at_once() -> None:
    """As many digits of base 60 as the file may have bytes."""
    with soon(), pytest.raises(UsageError):
        strict_yaml.load(b"a: 1" + b":1" * 500_000, what="file")


DIGITS = "9" * 5000
"""More than Python turns into a number."""


def many_digits() -> dict[str, Callable[[], object]]:
    """Return what reads versions and dates of others, each with too many digits."""
    advisory = canonical.loads(OSV)
    affected = advisory["affected"][0]
    ranged = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": DIGITS}]}
    return {
        "Debian version": lambda: debversion.key(f"{DIGITS}:1.{DIGITS}-{DIGITS}"),
        "date": lambda: release.parse(
            RELEASE_FILE.replace(b"2026", b"20266"), suite="trixie", now=0, what="Release"
        ),
        "fixed version": lambda: list(
            osv.advisories(advisory | {"affected": [affected | {"ranges": [ranged]}]}, what="x")
        ),
        "listed version": lambda: list(
            osv.advisories(advisory | {"affected": [affected | {"versions": [DIGITS]}]}, what="x")
        ),
        "version that is none": lambda: list(
            osv.advisories(
                advisory
                | {"affected": [affected | {"ranges": [ranged | {"events": [{"fixed": " "}]}]}]},
                what="x",
            )
        ),
    }


@pytest.mark.parametrize("what", many_digits())
def test_a_number_of_too_many_digits_is_an_error(what: str) -> None:
    """Python refuses to turn them into a number, in its own words; ours are about the file."""
    with pytest.raises(LockgateError) as caught:
        many_digits()[what]()
    assert len(caught.value.message) < 1000


def test_a_report_with_a_version_of_too_many_digits_is_read() -> None:
    """A finding is kept with the scanner's own text, whatever its versions are."""
    found = vulnerability(FixedVersion=f"1.0, {DIGITS}")
    (finding,) = trivy_report.parse(json.dumps(document(found)).encode()).findings
    assert finding.fixed.endswith(DIGITS)


def test_a_version_of_go_has_few_digits() -> None:
    """Anything longer is none."""
    assert gomod.version_numbers("1.26.8") == (1, 26, 8)
    assert gomod.version_numbers(f"{DIGITS}.1") == ()


# --- memory


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: (unpacked, gzip.compress(extended(b"\0" * 900_000) * 40 + END, 9)),
        lambda: (unpacked, gzip.compress(b"\0" * (80 << 20), 9)),
        lambda: (unpacked, zlib.compress(b"\0" * (80 << 20), 9)),
    ],
    ids=["headers", "zeros", "zeros without a head"],
)
def test_memory_is_bounded(bomb: Callable[[], tuple[Callable[[bytes], object], bytes]]) -> None:
    """What unpacks to megabytes is held in pieces."""
    parse, data = bomb()
    tracemalloc.start()
    try:
        with contextlib.suppress(LockgateError):
            parse(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The test itself unpacks it once, to know its digest.
    assert peak < 250 << 20


def test_oid_of_a_usual_length() -> None:
    """The limit is far from what is in use: a name with six large numbers."""
    name = "2.16.840.1.101.3.4.2.4294967295.4294967295.4294967295.18446744073709551615"
    assert der.oid(der.read(oid(name))) == name
