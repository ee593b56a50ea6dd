"""Phase 2 as a transform: which documents stand for which, by URL, by content, by MinHash.

The steps are sequential: of the documents with one URL one stays; of those with one content one
stays; those that agree in a MinHash band are joined, and of each connected component one stays.
A dropped document follows the one it was dropped for. In the end every document that stays has
one cluster, all it stands for by whatever step: its id names the cluster, the size counts all
members, and each member is one row. Documents without duplicates have no row.

Every choice is by one total order (pipelines.phases.members.rank), so the answer does not depend
on the runner, on the order of the input or on how it is cut into bundles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from pipelines.phases.components import EDGE, BandEdges, Edge, UnionFind
from pipelines.phases.least import Ranked, WithLeast
from pipelines.phases.members import ClusterRow, Key, Member, member_of, policy_of, rank
from schemas.recipe import Dedup
from stages.dedup import curve

KEYED = beam.typehints.KV[bytes, beam.typehints.Any]


class Deduplicate(beam.PTransform):
    """Key records -> ClusterRow of every document that has a duplicate.

    The whole graph of MinHash pairs is connected in one place: good for a few million pairs.
    pipelines.phases.dedup.run_dedup has the way for more.

    Raises UsageError while the graph is built when the band settings are refused.
    """

    def __init__(self, settings: Dedup) -> None:
        super().__init__()
        check(settings)
        self._settings = settings

    def expand(self, keys: beam.PCollection) -> beam.PCollection:
        """Settle exact duplicates, connect near ones, give verdicts."""
        members = keys | "Exact" >> SettleExact(self._settings)
        if self._settings.minhash is None:
            return members | "Verdicts" >> Verdicts()
        stars = members | "BandEdges" >> BandEdges() | "UnionFind" >> UnionFind()
        return (members, stars) | "Verdicts" >> NearVerdicts()


def check(settings: Dedup) -> None:
    """Raise UsageError for settings that would not do what they say."""
    policy_of(settings.keep)
    if settings.minhash is not None:
        curve.check(settings.minhash)


class SettleExact(beam.PTransform):
    """Key records -> members after the URL and the content step."""

    def __init__(self, settings: Dedup) -> None:
        super().__init__()
        self._settings = settings

    def expand(self, keys: beam.PCollection) -> beam.PCollection:
        """The steps that the recipe asks for, in order."""
        settings = self._settings
        bands = settings.minhash.bands if settings.minhash else 0
        members = keys | "Members" >> beam.Map(_plain_member, settings.keep, bands)
        if settings.url:
            members = members | "Url" >> KeepOne("url", _url_key)
        if settings.exact:
            members = members | "Content" >> KeepOne("exact", _content_key)
        return members


class KeepOne(beam.PTransform):
    """Members -> members, of which one a key is still in play; an empty key is no key."""

    def __init__(self, method: str, key_of: Callable[[Member], bytes]) -> None:
        super().__init__()
        self._method = method
        self._key_of = key_of

    def expand(self, members: beam.PCollection) -> beam.PCollection:
        """Elect one a key; those it stood for before come along and count."""
        with_key = (
            members
            | "ByKey" >> beam.FlatMap(_by_key, self._key_of).with_output_types(KEYED)
            | "Best" >> WithLeast(rank)
            | "Settle" >> beam.Map(_settle, self._method)
        )
        without = members | "NoKey" >> beam.Filter(_has_no_key, self._key_of)
        return (with_key, without) | "All" >> beam.Flatten()


class Verdicts(beam.PTransform):
    """Members -> rows, where no near duplicates are looked for."""

    def expand(self, members: beam.PCollection) -> beam.PCollection:
        """Clusters are what each document in play stands for."""
        return (
            members
            | "Clustered" >> beam.FlatMap(_by_node).with_output_types(KEYED)
            | "Rows" >> Rows()
        )


class NearVerdicts(beam.PTransform):
    """(members, stars) -> rows; stars are pairs (node, least node of its component)."""

    def expand(self, both: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        """Give each member the component of the document that stands for it."""
        members, stars = both
        centres = (
            stars
            | "Centre" >> beam.Map(_centre).with_output_types(bytes)
            | "CentreOnce" >> beam.Distinct()
            | "OwnLabel" >> beam.Map(_own_label).with_output_types(EDGE)
        )
        labels = (
            (stars, centres)
            | "Labels" >> beam.Flatten()
            | "Label" >> beam.Map(_label).with_output_types(KEYED)
        )
        standing = members | "ByNode" >> beam.Map(_as_standing).with_output_types(KEYED)
        return (
            (labels, standing)
            | "Meet" >> beam.Flatten()
            | "LabelFirst" >> WithLeast(_label_first)
            | "ByComponent" >> beam.FlatMap(_by_component).with_output_types(KEYED)
            | "Rows" >> Rows()
        )


class Rows(beam.PTransform):
    """(cluster, member) -> ClusterRow, as plain tuples."""

    def expand(self, clustered: beam.PCollection) -> beam.PCollection:
        """The best member still in play stays."""
        return clustered | "Winner" >> WithLeast(rank) | "Row" >> beam.Map(_row)


def _plain_member(key: tuple[Any, ...], policy: str, bands: int) -> tuple[Any, ...]:
    return tuple(member_of(Key(*key), policy, bands))


def _url_key(member: Member) -> bytes:
    return member.url_key


def _content_key(member: Member) -> bytes:
    return member.content_key


def _by_key(
    plain: tuple[Any, ...], key_of: Callable[[Member], bytes]
) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    key = key_of(Member(*plain))
    if key:
        yield key, plain


def _has_no_key(plain: tuple[Any, ...], key_of: Callable[[Member], bytes]) -> bool:
    return not key_of(Member(*plain))


def _settle(ranked: Ranked, method: str) -> tuple[Any, ...]:
    _, plain, least, size = ranked
    if size == 1:
        return tuple(plain)
    member, winner = Member(*plain), Member(*least)
    if member.uid == winner.uid:
        # A group of only those it stood for already is no new victory.
        method = method if size > member.size else member.method
        member = member._replace(method=method)
    elif not member.dropped:
        member = member._replace(
            method=method, dropped=True, content_key=winner.content_key, bands=b""
        )
    return tuple(member._replace(node=winner.uid, size=size))


def _by_node(plain: tuple[Any, ...]) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    member = Member(*plain)
    if member.size > 1:
        yield member.node, plain


def _centre(star: Edge) -> bytes:
    return star[1]


def _own_label(node: bytes) -> Edge:
    return node, node


def _label(star: Edge) -> tuple[bytes, tuple[int, bytes]]:
    return star[0], (0, star[1])


def _as_standing(plain: tuple[Any, ...]) -> tuple[bytes, tuple[int, tuple[Any, ...]]]:
    # The bands have done their work.
    return Member(*plain).node, (1, tuple(Member(*plain)._replace(bands=b"")))


def _label_first(tagged: tuple[int, Any]) -> tuple[Any, ...]:
    return (0,) if tagged[0] == 0 else (1, *rank(tagged[1]))


def _by_component(ranked: Ranked) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    node, (is_member, plain), (first_is_member, label), _ = ranked
    if not is_member:
        return
    member = Member(*plain)
    if not first_is_member:
        method = member.method if member.dropped else "minhash"
        yield label, tuple(member._replace(method=method))
    elif member.size > 1:
        yield node, plain


def _row(ranked: Ranked) -> tuple[Any, ...]:
    _, plain, least, size = ranked
    member, winner = Member(*plain), Member(*least)
    return tuple(
        ClusterRow(
            id=member.id,
            cluster_id=winner.id,
            cluster_size=size,
            method=member.method,
            kept=member.uid == winner.uid,
            segment=member.segment,
            row=member.row,
            warc_file=member.warc_file,
            warc_offset=member.warc_offset,
        )
    )
