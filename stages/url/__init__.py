"""URLs: the normal form for deduplication, block lists, and the rules over them."""

from stages.url.blocklist import Blocklist
from stages.url.domains import registered_domain
from stages.url.normalise import host_of, normalise
from stages.url.rules import UrlRules

__all__ = ["Blocklist", "UrlRules", "host_of", "normalise", "registered_domain"]
