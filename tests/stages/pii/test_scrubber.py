"""What is taken for personal data, what is not, and what stands in for it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from schemas.recipe import Pii
from stages.pii import Scrubber
from stages.pii.ibans import LENGTHS
from stages.pii.replace import REPLACERS, stand_ins
from stages.pii.spans import Span, resolve


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(Pii())


def found(scrubber: Scrubber, text: str) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in scrubber.find(text)]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("email", "Foo.Bar+x@mail.example.co.uk", "Write to Foo.Bar+x@mail.example.co.uk."),
        ("email", "foo@bar.com", "请联系foo@bar.com谢谢"),
        ("email", "foo@bar.com", "or foo@bar.com_ there"),
        ("email", "me@site.org", "https://a.org/login?email=me@site.org&x=1"),
        ("email", "me@site.org", "<a href='mailto:me@site.org'>"),
        ("ip", "8.8.4.4", "from 8.8.4.4:53 on"),
        ("ip", "81.2.69.160", "blocked 81.2.69.160/24"),
        ("ip", "2606:4700:4700::1111", "dns 2606:4700:4700::1111 too"),
        ("ip", "2a00:1450:4001:81b::200e", "http://[2a00:1450:4001:81b::200e]:80/"),
        ("ip", "::ffff:8.8.4.4", "mapped ::ffff:8.8.4.4 here"),
        ("phone", "+49 30 1234567", "oder +49 30 1234567 wählen"),
        ("phone", "020 7946 0958", "London, 020 7946 0958"),
        ("phone", "(212) 867-5309", "NY (212) 867-5309"),
        ("phone", "212.867.5309", "NY 212.867.5309, daily"),
        ("phone", "13812345678", "手机13812345678"),
        ("phone", "449 4898", "please call me at 449 4898 today"),
        ("phone", "01 42 68 53 00", "Paris 01 42 68 53 00"),
        ("phone", "91 123 45 67", "Teléfono: 91 123 45 67"),
        ("credit_card", "4111 1111 1111 1111", "pay 4111 1111 1111 1111 12/27"),
        ("credit_card", "378282246310005", "no. 378282246310005,"),
        ("credit_card", "3782 822463 10005", "no. 3782 822463 10005."),
        ("credit_card", "2223003122003222", "with 2223003122003222"),
        ("credit_card", "6304000000000000", "Maestro card 6304000000000000"),
        ("iban", "DE89 3704 0044 0532 0130 00", "IBAN DE89 3704 0044 0532 0130 00 Bank"),
        ("iban", "BE71 0961 2345 6769", "auf BE71 0961 2345 6769 GEBABEBB"),
        ("iban", "gb29nwbk60161331926819", "to gb29nwbk60161331926819"),
    ],
)
def test_finds(scrubber: Scrubber, kind: str, value: str, text: str) -> None:
    assert found(scrubber, text) == [(kind, value)]
    clean, counts = scrubber.scrub(text)
    assert value not in clean
    assert counts == {k: int(k == kind) for k in Pii().kinds}


@pytest.mark.parametrize(
    "text",
    [
        "@handle and icon@2x.png and a@localhost and 5 @ 3.99",
        "10.0.0.1 172.16.3.4 192.168.1.1 127.0.0.1 169.254.0.1 100.64.0.1 224.0.0.1",
        "192.0.2.7 198.51.100.7 203.0.113.7 2001:db8::7 fe80::1 fc00::1 ::1 :: 255.255.255.0",
        'v1.2.3.4 and 1.2.3.4.5 and version "17.0.4.1" and Chrome/120.0.0.0 and lib-4.3.2.1.tar',
        "1.2.3.4 A numbered section",
        "std::add ::face a::b 12::30 12:30:45 00:1b:21:ff:fe:00:aa:bb",
        "$1,234,567.00 and 1.234.567,89 EUR and 12 345 678 people",
        "2015-01-02 08:00:00, 03.04.2015, 3/10/2011, 1998-2003, 1914–1918, 20150102 0830",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, 0-306-40615-2",
        "40.712800, -74.006000; 51.5073509 -0.1277583",
        "1234567890 12345678 1610612736 1610612736000 100012345678901234",
        "5035 7 0 15 24\n2318 3 3 13 19",
        "arXiv:hep-th/0401172 doi:10.1000/182 SSN 514-69-0360",
        "https://shop.example.org/item/0301234567?id=02079460958",
        "4111 1111 1111 1112",
        "4000 4100 4200 4305 4400 4500",
        "DE89 3704 0044 0532 0130 01",
        "EAN 4006381333931 and 1920x1080 mobile 1920x1080",
        "(212) 555-0142 and user-0a1b@example.com",
    ],
)
def test_leaves_alone(scrubber: Scrubber, text: str) -> None:
    assert scrubber.scrub(text) == (text, dict.fromkeys(Pii().kinds, 0))


def test_same_value_same_stand_in_everywhere(scrubber: Scrubber) -> None:
    first, _ = scrubber.scrub("a@b.com 8.8.4.4 c@d.com")
    second, _ = Scrubber(Pii(kinds=["email"])).scrub("x c@d.com then A@B.com")
    assert first.split()[0] == second.split()[-1]
    assert first.split()[-1] == second.split()[1]
    one, _ = scrubber.scrub("DE89 3704 0044 0532 0130 00")
    assert one == scrubber.scrub("DE89370400440532013000")[0]


def test_stand_ins_do_not_change_between_releases(scrubber: Scrubber) -> None:
    text = "a@b.com 8.8.4.4 2606:4700:4700::1111 +49 30 1234567 4111111111111111 BE71096123456769"
    clean, _ = scrubber.scrub(text)
    assert clean == (
        "user-dfc0@example.com 203.0.113.26 2001:db8::ba19 555-0110 0000-0000-0000-1406"
        " XX009390356339651823"
    )


def test_counts_only_the_kinds_asked_for() -> None:
    clean, counts = Scrubber(Pii(kinds=["ip"])).scrub("a@b.com 8.8.4.4 8.8.4.4")
    assert clean.startswith("a@b.com ")
    assert counts == {"ip": 2}
    assert Scrubber(Pii(kinds=[])).scrub("a@b.com") == ("a@b.com", {})


def test_what_is_glued_together_goes_in_one_call(scrubber: Scrubber) -> None:
    clean, counts = scrubber.scrub("tel: 020 7946 0958a@b.com")
    assert "020" not in clean
    assert (counts["email"], counts["phone"]) == (1, 1)


@given(kind=st.sampled_from(sorted(set(REPLACERS) - {"ip"})), value=st.text())
def test_every_stand_in_is_recognised(kind: str, value: str) -> None:
    stand_in = REPLACERS[kind](value)
    assert stand_ins(f"({stand_in})") == [(1, 1 + len(stand_in))]


@given(value=st.text(), kind=st.sampled_from(["credit_card", "iban"]))
def test_numbers_that_stand_in_fail_their_checksum(value: str, kind: str) -> None:
    digits = re.sub("-", "", REPLACERS[kind](value))
    if kind == "iban":
        assert digits[:2] not in LENGTHS
        assert digits[2:4] == "00"
    else:
        doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
        assert sum(n // 10 + n % 10 for n in doubled) % 10 != 0


def test_lengths_of_ibans_are_those_that_presidio_checks() -> None:
    from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

    assert set(LENGTHS) == {c for c in regex_per_country if c in LENGTHS}
    for country, pattern in regex_per_country.items():
        if country in LENGTHS:
            sizes = (int(n or 1) for n in re.findall(r"\[ \]\?\)?(?:\{(\d+)\})?|\[0\]", pattern))
            assert sum(sizes) >= LENGTHS[country] // 4, country


def test_overlaps_go_to_the_more_specific_then_the_longer() -> None:
    spans = [
        Span("phone", 0, 20, "a"),
        Span("iban", 5, 15, "b"),
        Span("ip", 20, 25, "c"),
        Span("ip", 20, 28, "d"),
        Span("name", 30, 33, "e"),
    ]
    assert resolve(spans, [(32, 40)]) == [spans[1], spans[3]]
    assert resolve(spans[::-1], [(32, 40)]) == [spans[1], spans[3]]


def test_travels_between_processes(scrubber: Scrubber) -> None:
    copy = pickle.loads(pickle.dumps(scrubber))
    assert copy.scrub("a@b.com 8.8.4.4") == scrubber.scrub("a@b.com 8.8.4.4")


def test_unknown_region_is_one_line() -> None:
    with pytest.raises(UsageError, match="phone_regions: 'UK'"):
        Scrubber(Pii(phone_regions=["UK"]))


@pytest.fixture(scope="module")
def name_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns(
        [
            {"label": "PERSON", "pattern": "Ada Lovelace"},
            {"label": "PER", "pattern": "Grace"},
            {"label": "ORG", "pattern": "Acme"},
        ]
    )
    folder = tmp_path_factory.mktemp("model") / "names"
    pipeline.to_disk(folder)
    return folder


def test_names(name_model: Path) -> None:
    scrubber = Scrubber(Pii(kinds=["name", "email"], spacy_model=str(name_model)))
    text = "Ada Lovelace of Acme met Grace. Ada  Lovelace wrote to grace@navy.mil."
    clean, counts = scrubber.scrub(text)
    assert re.fullmatch(
        r"(Person-\w{4}) of Acme met Person-\w{4}\. Ada  Lovelace wrote to user-\w{4}@\S+\.", clean
    )
    assert counts == {"name": 2, "email": 1}
    assert scrubber.scrub(clean) == (clean, {"name": 0, "email": 0})


def test_names_in_a_long_text(name_model: Path) -> None:
    scrubber = Scrubber(Pii(kinds=["name"], spacy_model=str(name_model)))
    _, counts = scrubber.scrub("Ada Lovelace and so on. " * 5_000)
    assert counts == {"name": 5_000}


def test_missing_model_is_one_line() -> None:
    pytest.importorskip("spacy")
    with pytest.raises(InputError, match=r"pii\.spacy_model: no spaCy model 'xx_none'"):
        Scrubber(Pii(kinds=["name"], spacy_model="xx_none"))
