"""A signed image on a bench, where a mutation can be tried without harm to the next one.

There is one template for each form of evidence, so that no form makes up for what was done to the other. A bench
is a copy of it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from tests.unit.sign.shelf import SHELVES, Held, Shelf
from tests.unit.sign.world import NOW, World, make_checks, make_signer, make_world

from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, Index, Manifest, index_bytes, manifest_bytes
from lockgate.oci.unpack import unpack
from lockgate.sign import predicate
from lockgate.sign.combine import AllOf
from lockgate.sign.public_key import MARK
from lockgate.sign.requirement import Checked, Licensed, default_requirement
from lockgate.sign.verify import require, verify

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.model import PlatformImage
    from lockgate.scan.model import Finding
    from lockgate.sign.local import LocalSigner
    from lockgate.sign.model import Verification

KINDS = predicate.ORDER
"""Predicate types of everything that is signed."""

NAMES = predicate.NAMES | predicate.ON_REQUEST


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Who signs, and who should not."""

    release: LocalSigner
    stranger: LocalSigner
    developer: LocalSigner


class Bench:
    """A copy of a signed image, and what each stage says of it."""

    def __init__(self, folder: Path, world: World, other: World, keys: Keys, form: str) -> None:
        layout = Layout.open(folder / "store")
        self.folder, self.layout = folder, layout
        self.world = _moved(world, layout)
        self.other = _moved(other, layout)
        """Another image in the same store, signed by the same key."""
        self.keys = keys
        self.subject = world.image.subject
        self.shelf: Shelf = _shelf(form, layout, world.image.subject)
        self.others: Shelf = _shelf(form, layout, other.image.subject)

    @property
    def platform(self) -> PlatformImage:
        """The second platform, which a reader that looks at one only would not see."""
        return self.world.image.platforms[1]

    def blob(self, name: str) -> str:
        """Return the digest of a part of the image, or of the list of its referrers."""
        return {
            "index": self.subject,
            "manifest": self.platform.manifest,
            "config": self.platform.config,
            "layer": self.platform.layers[0],
        }[name]

    def write(self, digest: str, data: bytes) -> None:
        """Put bytes in the place of a blob, which then are not those of its digest."""
        path = self.layout.path(digest)
        # The template's file is the same one until then.
        path.unlink()
        path.write_bytes(data)

    def forge(self, kind: str, payload: bytes, signer: LocalSigner, *, hint: str = "") -> None:
        """Put a payload, signed well by `signer`, in the place of the evidence of one type."""
        signature = signer.sign(self.shelf.signed_bytes(kind, payload))
        self.shelf.replace(kind, Held(payload, signature, hint or signer.public_key().hint))

    def rebuilt(self, name: str) -> str:
        """Return an index in which one part has other bytes, and every digest fits again."""
        platform = self.platform
        manifest = Manifest.parse(self.layout.read(platform.manifest))
        config, layers = manifest.config, manifest.layers
        changed = {
            "layer": lambda: Manifest(
                config=config, layers=(self.layout.put(b"another layer", layers[0].media_type),)
            ),
            "config": lambda: Manifest(
                config=self.layout.put(b'{"another":1}', config.media_type), layers=layers
            ),
            "manifest": lambda: Manifest(config=config, layers=layers, annotations={"a": "b"}),
            "index": lambda: manifest,
        }[name]()
        entry = self.layout.put(manifest_bytes(changed), manifest.media_type)
        index = Index.parse(self.layout.read(self.subject))
        entries = tuple(
            msgspec.structs.replace(entry, platform=one.platform)
            if one.digest == platform.manifest and name != "index"
            else one
            for one in index.manifests
        )
        annotations = {"another": "one"} if name == "index" else {}
        made = index_bytes(Index(manifests=entries, annotations=annotations))
        return self.layout.put(made, INDEX).digest

    # The stages. Each raises when it refuses.

    def attest(self, **changes: Any) -> None:
        """Sign again, with other records where a mutation has some."""
        arguments: dict[str, Any] = {"checks": make_checks(self.world.image), **changes}
        self.world.sign(arguments.pop("signer", self.keys.release), **arguments)

    def verification(self, **changes: Any) -> Verification:
        """Verify as `prod` does, with every requirement that there is for what is signed."""
        default = default_requirement("prod", self.world.threshold)
        arguments: dict[str, Any] = {
            "place": self.layout,
            "digest": self.subject,
            "requirement": AllOf(parts=(*default.parts, Checked(), Licensed())),
            "keys": [self.keys.release.public_key()],
            "name": "prod",
            "now": NOW + 60,
            "development_key_allowed": False,
            **changes,
        }
        return verify(**arguments)

    def verify(self, **changes: Any) -> None:
        """Verify, and require what was found."""
        require(self.verification(**changes))

    def unpack(self) -> None:
        """Unpack the platform that a mutation is done to, as a deployment does."""
        unpack(self.layout, self.platform.manifest, self.folder / "unpacked")


class Benches:
    """Templates of signed images, and copies of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.keys = Keys(
            release=make_signer("release"),
            stranger=make_signer("stranger"),
            developer=make_signer("development", MARK),
        )
        self._templates = {one.form: self._template(one.form) for one in SHELVES}

    def _template(self, form: str) -> tuple[World, World]:
        folder = self._folder / f"template-{form}"
        world = make_world(folder)
        name = world.layout.resolve("app")
        other = make_world(folder, salt="other")
        for one in (world, other):
            one.sign(self.keys.release, formats=(form,), checks=make_checks(one.image))
        world.layout.tag({"app": name, "other": world.layout.resolve("app")})
        return world, other

    def take(self, form: str) -> Bench:
        """Return a fresh copy of the template of one form."""
        self._count += 1
        folder = self._folder / f"bench-{self._count}"
        # Nothing that stages do changes a file in place, so one file can be in every copy.
        shutil.copytree(self._folder / f"template-{form}", folder, copy_function=os.link)
        return Bench(folder, *self._templates[form], self.keys, form)


def closed(bench: Bench, finding: Finding) -> World:
    """Return the world of a bench in which the scan had found something."""
    found = make_world(bench.folder, findings=(finding,))
    return _moved(found, bench.layout)


def _moved(world: World, layout: Layout) -> World:
    return dataclasses.replace(world, layout=layout)


def _shelf(form: str, layout: Layout, subject: str) -> Shelf:
    return next(one for one in SHELVES if one.form == form)(layout, subject)
