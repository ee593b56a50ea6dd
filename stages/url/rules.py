"""The URL rules of a recipe: which pages are dropped for their address alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from schemas.errors import UsageError
from schemas.recipe import UrlFilter
from schemas.verdict import Rejection
from stages.url.address import ENCLOSING, Address, split_address
from stages.url.blocklist import Blocklist
from stages.url.domains import DomainSet, suffixes_of
from stages.url.fineweb import FinewebLists, WordLists
from stages.url.userlists import UserList
from stages.url.words import SubstringSet, squeezed, words_of

_Rule = Callable[[str, Address], Rejection | None]


def _rejection(rule: str, detail: str) -> Rejection:
    return Rejection("url", rule, None, None, detail=detail)


class UrlRules:
    """FineWeb's URL filter (datatrove 0.10.1, url_filter.py) and a recipe's own lists.

    Rules run in the order domain, URL, hard words, soft words, substrings, quality sources, user
    lists; the first that is broken names the rejection. An allow list overrides all of them.
    """

    def __init__(self, settings: UrlFilter, blocklist: Blocklist | None) -> None:
        """Load what the settings ask for.

        Without a `blocklist` the word lists come straight from the datatrove wheel. Raises
        UsageError when the settings name a block list and none is given, InputError for a list
        file that is missing or unusable.
        """
        lists = [UserList(entry) for entry in settings.lists]
        self._allowed = [entry for entry in lists if entry.sense == "allow"]
        self._rules: list[_Rule] = []
        if settings.blocklist is not None:
            if blocklist is None:
                raise UsageError(f"url.blocklist: {settings.blocklist} needs its list to be built")
            self._rules += [_domain_rule(blocklist), _url_rule(blocklist)]
        if settings.hard_words or settings.soft_words_min is not None or settings.substrings:
            words = FinewebLists().words() if blocklist is None else blocklist.words
            self._rules += _word_rules(settings, words)
        if settings.exclude_quality_sources:
            self._rules.append(_quality_source_rule())
        self._rules += [_user_rule(entry) for entry in lists if entry.sense == "block"]

    def check(self, url: str) -> Rejection | None:
        """The rule that the URL breaks, or None. An empty URL (rows without one) passes."""
        url = url.strip(ENCLOSING)
        if not url or not self._rules:
            return None
        address = split_address(url)
        if any(entry.match(url, address) is not None for entry in self._allowed):
            return None
        for rule in self._rules:
            rejection = rule(url, address)
            if rejection is not None:
                return rejection
        return None


def _domain_rule(blocklist: Blocklist) -> _Rule:
    """datatrove looks up the registered domain, then the whole host of a known suffix.

    Two kinds of entries can never match there and do here: IP addresses (6,390) and public
    suffixes (xxx, porn, sex, adult, sex.pl, ...), which stand for everything under them.
    """

    def check(url: str, address: Address) -> Rejection | None:
        host = address.host
        registered, public = suffixes_of(host)
        if registered and registered != host and blocklist.has_domain(registered):
            return _rejection("url.domain", registered)
        for name in (host, public):
            if name and blocklist.has_domain(name):
                return _rejection("url.domain", name)
        return None

    return check


def _url_rule(blocklist: Blocklist) -> _Rule:
    """datatrove compares whole URLs with entries that have no scheme, which never match there."""

    def check(url: str, address: Address) -> Rejection | None:
        entry = address.entry
        return _rejection("url.url", entry) if blocklist.has_url(entry) else None

    return check


def _word_rules(settings: UrlFilter, lists: WordLists) -> list[_Rule]:
    rules: list[_Rule] = []
    soft_words_min = settings.soft_words_min

    def check_words(url: str, address: Address) -> Rejection | None:
        words = words_of(url)
        if settings.hard_words and not lists.hard.isdisjoint(words):
            return _rejection("url.hard_word", min(lists.hard & words))
        if soft_words_min is not None:
            found = lists.soft & words
            if len(found) >= soft_words_min:
                detail = " ".join(sorted(found))
                return Rejection("url", "url.soft_words", len(found), soft_words_min, detail=detail)
        return None

    if settings.hard_words or soft_words_min is not None:
        rules.append(check_words)
    if settings.substrings:
        rules.append(_substring_rule(SubstringSet(lists.substrings)))
    return rules


def _substring_rule(substrings: SubstringSet) -> _Rule:
    def check(url: str, address: Address) -> Rejection | None:
        found = substrings.first(squeezed(url))
        return None if found is None else _rejection("url.substring", found)

    return check


def _quality_source_rule() -> _Rule:
    text = resources.files(__package__).joinpath("quality_sources.txt").read_text("utf-8")
    sources = DomainSet(line for line in text.splitlines() if not line.startswith("#"))

    def check(url: str, address: Address) -> Rejection | None:
        found = sources.match(address.host)
        return None if found is None else _rejection("url.quality_source", found)

    return check


def _user_rule(entry: UserList) -> _Rule:
    def check(url: str, address: Address) -> Rejection | None:
        found = entry.match(url, address)
        return None if found is None else _rejection("url.user_list", f"{found} ({entry.name})")

    return check
