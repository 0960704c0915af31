"""What a licence allows is read from its address, its name or its identifier, and nothing is taken for granted."""

import pytest

from segdata.licences import LICENCE_USES, licence_of

# The licences of COCO's files: name, address, and what they allow: commercial, derivatives, permissive, public-domain.
COCO = [
    ("Attribution-NonCommercial-ShareAlike License", "http://creativecommons.org/licenses/by-nc-sa/2.0/", "d"),
    ("Attribution-NonCommercial License", "http://creativecommons.org/licenses/by-nc/2.0/", "d"),
    ("Attribution-NonCommercial-NoDerivs License", "http://creativecommons.org/licenses/by-nc-nd/2.0/", ""),
    ("Attribution License", "http://creativecommons.org/licenses/by/2.0/", "cdp"),
    ("Attribution-ShareAlike License", "http://creativecommons.org/licenses/by-sa/2.0/", "cd"),
    ("Attribution-NoDerivs License", "http://creativecommons.org/licenses/by-nd/2.0/", "c"),
    ("No known copyright restrictions", "http://flickr.com/commons/usage/", "cdp*"),
    ("United States Government Work", "http://www.usa.gov/copyright.shtml", "cdp*"),
]
LETTERS = dict(zip(LICENCE_USES, "cdp*", strict=True))


def allowed(row):
    found = licence_of(row).licence
    return "".join(LETTERS[use] for use in LICENCE_USES if found is not None and not found.allows(use))


@pytest.mark.parametrize(("name", "address", "uses"), COCO)
def test_coco_licences_are_known_by_name_by_address_and_by_both(name, address, uses):
    assert allowed({"licence": 3, "licence_name": name}) == uses
    assert allowed({"licence": 3, "licence_url": address}) == uses
    assert allowed({"licence": 3, "licence_name": name, "licence_url": address}) == uses


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CC-BY-4.0", "CC BY 4.0"),
        ("cc-by-nc-sa-3.0", "CC BY-NC-SA 3.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivatives 4.0 International", "CC BY-NC-ND 4.0"),
        ("https://creativecommons.org/licenses/by-nd/4.0/deed.de", "CC BY-ND 4.0"),
        ("CC0-1.0", "CC0 1.0"),
        ("Creative Commons Zero v1.0 Universal", "CC0 1.0"),
        ("Apache License 2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("All Rights Reserved.", "all rights reserved"),
    ],
)
def test_other_common_licences_are_known_as_people_write_them(text, code):
    assert licence_of({"licence": text}).licence.code == code


@pytest.mark.parametrize(
    "text", ["by", "CC", "non-commercial use only", "CC BY-SA-ND", "ask me", "CC BY Sampling+", "4"]
)
def test_what_is_not_known_is_not_guessed(text):
    found = licence_of({"licence": text})
    assert found.licence is None
    assert repr(text) in found.reason


def test_a_number_says_nothing_without_the_file_that_explains_it():
    assert licence_of({"licence": 4}).reason == "its licence 4 has neither a name nor an address"
    assert licence_of({"licence": None}).reason == licence_of({}).reason == "no licence is stated"


def test_a_name_and_an_address_that_contradict_each_other_are_not_known():
    row = {"licence_name": "Attribution License", "licence_url": "http://creativecommons.org/licenses/by-nc/2.0/"}
    assert "which differ" in licence_of(row).reason


@pytest.mark.parametrize("value", [[], {}, True, "", "  ", 1e400])
def test_odd_values_are_no_licence(value):
    assert licence_of({"licence": value, "licence_name": value, "licence_url": value}).licence is None
