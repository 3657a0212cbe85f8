"""Which repositories and tags the names of a layout are.

A layout has one flat list of names (`oci.names`); a registry has repositories with tags. The two are read
as one, so that other tools find in the layout what was pushed, and clients find what `inv build` made:

    name in index.json       is, for the registry
    app                      repository `app`, tag `latest`, and everything below it: the store's own
    team/app:1.4             repository `team/app`, tag `1.4`: pushed
    sha256-…                 not a tag: the list of referrers that `Layout.add_referrer` keeps
    sha256-….sig             tag `sha256-….sig` of every repository whose own image has that digest
    anything else            not served

A name without a tag is the store's own: the registry serves it, with its evidence, and neither moves nor
deletes it or anything that it needs. So nobody who may push can change what a local name means, or remove
the evidence of a local image. Pushing the tag `latest` of such a repository is therefore refused, unless it
is the same image; any other tag of it can be pushed.

A repository holds what was pushed to it and what its names reach, and nothing else: a digest that another
repository holds has to be pushed or mounted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from lockgate.oci.manifest import REF_NAME, Descriptor, Index
from lockgate.oci.reference import is_name, is_tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.oci.server_protocol import ContentDigest

Kind = Literal["blobs", "manifests"]
"""Of what a repository holds."""

LATEST = "latest"

PUSHED_AS = "dev.lockgate.digest"
"""Annotation of a pushed tag: the digest it was pushed by, when that is not the sha256 of `index.json`."""

LONGEST = 255
"""Characters of a repository's name (spec.md, "Pulling manifests", implementers' note)."""

_ABOUT = re.compile(r"sha256-([0-9a-f]{64})(\..+)?")


@dataclass(frozen=True, slots=True)
class Named:
    """One reading of `index.json`."""

    raw: bytes
    """The bytes that were read, to see whether they are still those."""
    own: dict[str, Descriptor] = field(default_factory=dict)
    """The store's own image by its repository."""
    pushed: dict[str, dict[str, Descriptor]] = field(default_factory=dict)
    """By repository and tag."""
    kept: dict[str, Descriptor] = field(default_factory=dict)
    """Lists of the store's own referrers by digest."""
    about: dict[str, dict[str, Descriptor]] = field(default_factory=dict)
    """Manifests of the store that a tag like `sha256-….sig` names, by digest and tag."""
    roots: tuple[Descriptor, ...] = ()
    """Every entry of the file, those without a name too."""
    reached: dict[str, dict[ContentDigest, Kind]] = field(default_factory=dict)
    """What was found to be below some of the names, for as long as they are these."""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Sort the entries of `index.json`.

        Raises:
            UsageError: it is no image index.
        """
        entries = Index.parse(raw).manifests
        found = cls(raw, roots=entries)
        for entry in entries:
            found._place(entry.annotations.get(REF_NAME, ""), entry)
        return found

    def _place(self, name: str, entry: Descriptor) -> None:
        about = _ABOUT.fullmatch(name)
        repository, colon, tag = name.partition(":")
        if about:
            digest = f"sha256:{about[1]}"
            if not about[2]:
                self.kept[digest] = entry
            elif is_tag(name):
                self.about.setdefault(digest, {})[name] = entry
        elif not is_repository(repository):
            return
        elif not colon:
            self.own[repository] = entry
        elif is_tag(tag):
            self.pushed.setdefault(repository, {})[tag] = entry

    def repositories(self) -> Iterable[str]:
        """Return every repository that a name opens."""
        return self.own.keys() | self.pushed.keys()


def is_repository(text: str) -> bool:
    """True when a repository may be called so; `sha256-…` is kept for names about a digest."""
    return len(text) <= LONGEST and is_name(text) and not _ABOUT.fullmatch(text)


def tag_name(repository: str, tag: str) -> str:
    """Return the name in `index.json` of a pushed tag."""
    return f"{repository}:{tag}"
