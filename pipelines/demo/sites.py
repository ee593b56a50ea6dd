"""Where the articles stand: hosts, layouts and how each host declares its charset.

All hosts lie under `.example`, which RFC 2606 keeps out of the real name space. The articles of a
file go round its hosts in turn.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Declared = Literal["header", "meta", "both", "bom", "wrong_meta", "nowhere"]


class Site(NamedTuple):
    """One host."""

    host: str
    name: str
    layout: str
    encoding: str = "utf-8"
    declared: Declared = "both"


SITES: dict[str, tuple[Site, ...]] = {
    "en_garden": (
        Site("www.plot-and-hedge.example", "Plot and Hedge", "blog"),
        Site("felbridge-gardeners.example", "Felbridge Gardeners", "table", "utf-8", "meta"),
        Site("notes.wildyard.example", "The Wild Yard", "commented"),
    ),
    "en_food": (
        Site("www.tolverne-bakery.example", "Tolverne Bakery", "soup", "windows-1252", "meta"),
        Site("kitchen-table.example", "The Kitchen Table", "clutter"),
    ),
    "en_workshop": (
        Site("www.old-tools.example", "Old Tools", "old", "iso-8859-1", "header"),
        Site("mend.example", "Mend It", "blog", "utf-8", "header"),
        Site("workbench.example", "The Workbench", "soup", "utf-8", "nowhere"),
    ),
    "en_sky": (
        Site("stargazers.example", "Skelby Stargazers", "table", "utf-8", "bom"),
        Site("sky-at-home.example", "The Sky at Home", "commented", "utf-8", "meta"),
    ),
    "en_places": (
        Site("www.county-history.example", "County History", "old", "windows-1252", "header"),
        Site("marren-valley.example", "Marren Valley", "news"),
    ),
    "en_news": (Site("www.felbridge-courier.example", "The Felbridge Courier", "news"),),
    "en_games": (
        Site("games-evening.example", "Games Evening", "clutter", "utf-8", "header"),
        Site("monday-club.example", "The Monday Club", "blog", "utf-8", "wrong_meta"),
    ),
    "en_nature": (
        Site("field-notes.example", "Field Notes", "commented"),
        Site("www.hedgerow-watch.example", "Hedgerow Watch", "soup", "utf-8", "header"),
    ),
    "en_forum": (Site("forum.homebodies.example", "The Homebodies Forum", "forum"),),
    "en_docs": (Site("docs.plain-tools.example", "Plain Tools", "docs", "utf-8", "bom"),),
    "en_shop": (Site("shop.harrow-outfitters.example", "Harrow Outfitters", "product"),),
    "en_misc": (
        Site("www.weekly-reader.example", "The Weekly Reader", "news", "utf-8", "meta"),
        Site("longwave.example", "Long Wave", "clutter", "iso-8859-1", "meta"),
        Site("margins.example", "Margins", "commented", "utf-8", "nowhere"),
    ),
    "en_letters": (
        Site("www.letters-page.example", "The Letters Page", "blog", "utf-8", "wrong_meta"),
        Site("inkwell.example", "Inkwell", "table", "windows-1252", "both"),
        Site("second-post.example", "Second Post", "clutter", "utf-8", "nowhere"),
    ),
    "en_digest": (Site("reading-room.example", "The Reading Room", "blog"),),
    "en_cases": (Site("www.skelby-notices.example", "Skelby Notices", "commented"),),
    "en_rejected": (Site("pages.skelby-notices.example", "Skelby Pages", "soup"),),
    "zh": (
        Site("www.zhuyun.example", "竹云周刊", "news", "gb18030", "header"),
        Site("hutong.example", "胡同记事", "blog"),
        Site("laojie.example", "老街", "table", "gbk", "meta"),
        Site("shanshui.example", "山水之间", "soup", "utf-8", "wrong_meta"),
    ),
    "ja": (
        Site("www.komorebi.example", "木漏れ日通信", "blog", "shift_jis", "meta"),
        Site("ekimae.example", "駅前便り", "commented"),
        Site("satoyama.example", "里山手帖", "old", "shift_jis", "header"),
        Site("shiori.example", "しおり", "clutter", "utf-8", "nowhere"),
    ),
    "de": (
        Site("www.deichblatt.example", "Deichblatt", "news", "iso-8859-1", "header"),
        Site("werkbank.example", "Die Werkbank", "blog", "utf-8", "header"),
        Site("altenwerder.example", "Altenwerder Hefte", "table", "iso-8859-1", "meta"),
    ),
    "fr": (
        Site("www.le-hameau.example", "Le Hameau", "commented", "windows-1252", "meta"),
        Site("carnets.example", "Carnets de route", "blog"),
        Site("la-halle.example", "La Halle", "soup", "utf-8", "nowhere"),
    ),
    "es": (
        Site("www.azotea.example", "La Azotea", "blog", "utf-8", "meta"),
        Site("revista-sierra.example", "Revista Sierra", "news", "iso-8859-1", "wrong_meta"),
    ),
    "it": (
        Site("www.borgo-sanvero.example", "Borgo San Vero", "table"),
        Site("quaderno.example", "Il Quaderno", "clutter", "windows-1252", "header"),
    ),
    "pt": (
        Site("www.vila-do-sal.example", "Vila do Sal", "blog"),
        Site("morro.example", "Rádio do Morro", "commented", "iso-8859-1", "header"),
    ),
    "ru": (
        Site("www.pristan.example", "Верхняя Пристань", "old", "windows-1251", "header"),
        Site("sadovaya.example", "Садовая улица", "soup", "windows-1251", "meta"),
        Site("tetrad.example", "Тетрадь", "news"),
    ),
    "ar": (Site("www.majlis.example", "مجلس الحكايات", "blog", "utf-8", "meta"),),
    "de_cases": (Site("ferien-am-deich.example", "Ferien am Deich", "commented"),),
    "fr_cases": (Site("refuge-combe.example", "La Combe", "blog"),),
    "es_cases": (Site("barro.example", "Taller de Barro", "table"),),
    "zh_cases": (Site("minsu.example", "竹林民宿", "soup"),),
}
"""Stem of a file in `texts/` -> the hosts of its articles."""
