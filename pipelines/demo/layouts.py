"""Ten ways to lay out a page, by name: function of (article, site, related) -> HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby

from pipelines.demo.articles import Article, Block
from pipelines.demo.wording import WORDINGS, Wording

Layout = Callable[[Article, str, str, Sequence[Article]], str]
"""(article, site name, charset declaration or an empty string, related articles) -> HTML."""


def body_html(blocks: Sequence[Block], paragraph: str = "<p>{}</p>") -> str:
    """Blocks as plain markup; consecutive items become one list."""
    parts: list[str] = []
    for kind, group in groupby(blocks, key=lambda block: block.kind):
        texts = [escape(block.text, quote=False) for block in group]
        if kind == "item":
            parts.append("<ul>" + "".join(f"<li>{text}</li>" for text in texts) + "</ul>")
        else:
            form = {"heading": "<h2>{}</h2>", "code": "<pre><code>{}</code></pre>"}
            parts += [form.get(kind, paragraph).format(text) for text in texts]
    return "\n".join(parts)


def _menu(wording: Wording) -> str:
    return "".join(f'<li><a href="/{i}/">{item}</a></li>' for i, item in enumerate(wording.menu))


def _links(related: Sequence[Article]) -> str:
    return "".join(
        f'<li><a href="/{other.slug}">{escape(other.title, quote=False)}</a></li>'
        for other in related
    )


def _head(article: Article, site: str, charset: str) -> str:
    title = escape(article.title, quote=False)
    return f"<head>{charset}<title>{title} - {site}</title></head>"


def blog(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """A blog with semantic elements and a sidebar."""
    words = WORDINGS[article.language]
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
{_head(article, site, charset)}
<body>
<header><h2><a href="/">{site}</a></h2><nav><ul>{_menu(words)}</ul></nav></header>
<main><article><h1>{escape(article.title, quote=False)}</h1>
{body_html(article.blocks)}
</article></main>
<aside><h3>{words.related}</h3><ul>{_links(related)}</ul></aside>
<footer><p>{site}. {words.footer}</p></footer>
</body></html>"""


def table(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """A page of the nineties: tables for the layout, fonts in the markup."""
    words = WORDINGS[article.language]
    return f"""<html>
{_head(article, site, charset)}
<body bgcolor="#ffffff" link="#003366">
<table width="760" border="0" cellpadding="4" align="center">
<tr><td colspan="2"><table bgcolor="#ccddcc"><tr><td>{site}</td></tr></table></td></tr>
<tr><td width="140" valign="top"><font size="2"><ul>{_menu(words)}</ul></font></td>
<td valign="top"><div class="content"><h1>{escape(article.title, quote=False)}</h1>
{body_html(article.blocks)}
</div></td></tr>
<tr><td colspan="2" align="center"><font size="1">{words.footer}</font></td></tr>
</table></body></html>"""


def news(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """A newspaper: by-line, share buttons, related links."""
    words = WORDINGS[article.language]
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
{_head(article, site, charset)}
<body class="article-page">
<div class="topbar"><ul class="menu">{_menu(words)}</ul></div>
<article itemscope itemtype="https://schema.org/NewsArticle">
<h1 itemprop="headline">{escape(article.title, quote=False)}</h1>
<div class="share-buttons"><span>{words.share}</span> <a href="#a">A</a> <a href="#b">B</a></div>
<div itemprop="articleBody">
{body_html(article.blocks)}
</div></article>
<section class="related"><h3>{words.related}</h3><ul>{_links(related)}</ul></section>
<footer>{site} | {words.footer}</footer>
</body></html>"""


def forum(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """A thread of posts with authors and numbers."""
    words = WORDINGS[article.language]
    posts = "\n".join(
        f'<div class="post" id="p{number}"><div class="author">{block.author}</div>'
        f'<div class="content"><p>{escape(block.text, quote=False)}</p></div></div>'
        for number, block in enumerate(article.blocks, 1)
    )
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
{_head(article, site, charset)}
<body>
<div id="nav"><ul>{_menu(words)}</ul>
<a href="/login">Log in</a> <a href="/register">Register</a></div>
<div id="thread"><h1>{escape(article.title, quote=False)}</h1>
{posts}
</div>
<div class="pagination"><a href="?page=1">1</a> <a href="?page=2">2</a></div>
<div id="footer">{site}. {words.footer}</div>
</body></html>"""


def docs(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """Documentation: table of contents, headings, lists and code."""
    words = WORDINGS[article.language]
    headings = [block.text for block in article.blocks if block.kind == "heading"]
    contents = "".join(f'<li><a href="#s{i}">{text}</a></li>' for i, text in enumerate(headings))
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
{_head(article, site, charset)}
<body>
<nav class="toc"><ul>{contents}</ul></nav>
<div class="document" role="main">
<h1>{escape(article.title, quote=False)}</h1>
{body_html(article.blocks)}
</div>
<footer class="docs-footer">{site}. {words.footer}</footer>
</body></html>"""


def product(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """A shop: description, price, reviews, offers."""
    words = WORDINGS[article.language]
    plain = [block for block in article.blocks if block.kind != "post"]
    reviews = "\n".join(
        f'<div class="customer-opinion"><h4>{block.author}</h4>'
        f"<p>{escape(block.text, quote=False)}</p></div>"
        for block in article.blocks
        if block.kind == "post"
    )
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
{_head(article, site, charset)}
<body>
<div class="shop-header"><ul class="menu">{_menu(words)}</ul> <a href="/basket">Basket (0)</a></div>
<div class="product" itemscope itemtype="https://schema.org/Product">
<h1>{escape(article.title, quote=False)}</h1>
<div class="price">&pound;34.50</div><button>Add to basket</button>
<div class="description">
{body_html(plain)}
</div>
<div class="opinions"><h2>What our customers say</h2>
{reviews}
</div></div>
<div class="offers"><h3>{words.related}</h3><ul>{_links(related)}</ul></div>
<div class="footer">{site}. {words.footer}</div>
</body></html>"""


def soup(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """Nothing but divs with meaningless classes."""
    words = WORDINGS[article.language]
    items = "".join(
        f'<div class="x7"><a href="/{i}">{m}</a></div>' for i, m in enumerate(words.menu)
    )
    return f"""<!DOCTYPE html>
<html>
{_head(article, site, charset)}
<body><div class="a1"><div class="b2">{items}</div>
<div class="c3"><div class="d4"><div class="e5"><h1>{escape(article.title, quote=False)}</h1></div>
<div class="f6">
{body_html(article.blocks, '<div class="g9"><p>{}</p></div>')}
</div></div></div>
<div class="h8"><div class="i1">{words.footer}</div></div></div></body></html>"""


def clutter(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """Inline scripts, a cookie banner, advertisements and menus around and inside the text."""
    words = WORDINGS[article.language]
    advert = f'<div class="ad-slot"><span>{words.advert}</span><script>loadAd(7);</script></div>'
    half = len(article.blocks) // 2
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
<head>{charset}<title>{escape(article.title, quote=False)} - {site}</title>
<script>window.slots = window.slots || []; function loadAd(n) {{ slots.push(n); }}</script>
<style>.cookie-banner {{ position: fixed; bottom: 0 }} .ad-slot {{ float: right }}</style></head>
<body>
<div class="cookie-banner"><p>{words.cookies}</p><button>{words.accept}</button></div>
<ul class="menu top">{_menu(words)}</ul>
{advert}
<div class="content" id="content"><h1>{escape(article.title, quote=False)}</h1>
{body_html(article.blocks[:half])}
{advert}
{body_html(article.blocks[half:])}
</div>
<noscript>Please enable JavaScript to see our offers.</noscript>
<div class="related"><h3>{words.related}</h3><ul>{_links(related)}</ul></div>
<div class="footer"><ul>{_menu(words)}</ul><p>{words.footer}</p></div>
<script>for (var i = 0; i < 3; i++) {{ loadAd(i); }}</script>
</body></html>"""


def old(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """HTML 4 in capitals, with paragraphs that nobody closed."""
    words = WORDINGS[article.language]
    menu = " | ".join(f'<A HREF="{i}.htm">{item}</A>' for i, item in enumerate(words.menu))
    return f"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<HTML>
<HEAD>{charset}<TITLE>{escape(article.title, quote=False)}</TITLE></HEAD>
<BODY BGCOLOR="#FFFFF0" TEXT="#000000">
<CENTER><FONT SIZE="2">{menu}</FONT></CENTER><HR>
<H1>{escape(article.title, quote=False)}</H1>
{body_html(article.blocks, "<P>{}")}
<HR><CENTER><FONT SIZE="1">{site}<BR>{words.footer}</FONT></CENTER>
</BODY></HTML>"""


def commented(article: Article, site: str, charset: str, related: Sequence[Article]) -> str:
    """A post with readers' comments below."""
    words = WORDINGS[article.language]
    remarks = "\n".join(
        f'<li class="comment"><cite>reader {number}</cite>'
        f"<p>{escape(other.title, quote=False)}?</p></li>"
        for number, other in enumerate(related, 1)
    )
    return f"""<!DOCTYPE html>
<html lang="{article.language}">
{_head(article, site, charset)}
<body>
<ul id="menu">{_menu(words)}</ul>
<div class="post"><h1 class="entry-title">{escape(article.title, quote=False)}</h1>
<div class="entry-content">
{body_html(article.blocks)}
</div></div>
<div id="comments"><h3>{words.comments}</h3><ol class="comment-list">
{remarks}
</ol></div>
<div id="footer">{site}. {words.footer}</div>
</body></html>"""


LAYOUTS: dict[str, Layout] = {
    "blog": blog,
    "table": table,
    "news": news,
    "forum": forum,
    "docs": docs,
    "product": product,
    "soup": soup,
    "clutter": clutter,
    "old": old,
    "commented": commented,
}
