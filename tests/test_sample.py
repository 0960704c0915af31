"""A key is a path inside the data set, whatever the file name says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata.errors import SampleError
from segdata.sample import key_of, path_of

NAMES = st.text(st.sampled_from("ab./\\ :é😀\n") | st.characters(), max_size=12)


@pytest.mark.parametrize(
    ("file_name", "key"),
    [
        ("a.jpg", "a"),
        ("a.b.jpg", "a.b"),
        ("a", "a"),
        ("a.", "a"),
        ("shoot.1/a", "shoot.1/a"),
        ("shoot 1/0001.jpg", "shoot 1/0001"),
        ("shoot\\a.jpg", "shoot/a"),
        ("./a.jpg", "a"),
        ("a//b.jpg", "a/b"),
        ("a/./b.jpg", "a/b"),
        (".hidden.jpg", ".hidden"),
        (".jpg", ".jpg"),
        ("a/.jpg", "a/.jpg"),
        ("a..jpg", "a."),
        ("..jpg", "..jpg"),
        ("...", "..."),
        (":b.jpg", ":b"),
        ("line\nbreak.jpg", "line\nbreak"),
        ("été/😀.jpg", "été/😀"),
        ("x" * 251 + ".jpg", "x" * 251),
    ],
)
def test_a_key_is_the_posix_path_without_suffix(file_name: str, key: str) -> None:
    assert key_of(file_name) == key


@pytest.mark.parametrize(
    "file_name",
    [
        "",
        ".",
        "./",
        "/",
        "a/",
        "a/.",
        "..",
        "../a.jpg",
        "a/../b.jpg",
        "a/..",
        "..\\a.jpg",
        "a\\..\\..\\b.jpg",
        "/etc/passwd",
        "//server/share/a.jpg",
        "\\\\server\\share\\a.jpg",
        "C:\\a.jpg",
        "c:/a.jpg",
        "C:a.jpg",
        "a\0.jpg",
        "\udcff.jpg",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_in_one_sentence(file_name: str) -> None:
    with pytest.raises(SampleError, match="is not a relative path inside the data set") as caught:
        key_of(file_name)
    assert caught.value.code == "unsafe-name"
    assert repr(file_name) in caught.value.message
    assert str(caught.value).isprintable()


@given(file_name=NAMES)
def test_no_key_or_path_leads_out_of_the_data_set(file_name: str) -> None:
    try:
        path, key = path_of(file_name), key_of(file_name)
    except SampleError:
        return
    for name in (path, key):
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
        assert "\\" not in name
        assert name.encode()
    assert path.startswith(key)
    assert path_of(path) == path
