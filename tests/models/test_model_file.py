"""A model file says how it is to be run, and notices when a byte of it has changed."""

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata.errors import InputError
from segdata.models.model_file import ModelFacts, add_facts, read_facts

FACTS = ModelFacts("small", ("all", "dominant"), 576 * 384, 0.45, "CC0-1.0")


@pytest.fixture(scope="module")
def graph() -> bytes:
    """A model as the package onnx writes it."""
    helper = pytest.importorskip("onnx.helper")
    image = helper.make_tensor_value_info("image", 2, ["n", "h", "w", 3])
    logits = helper.make_tensor_value_info("logits", 1, ["n", "h", "w", 3])
    node = helper.make_node("Cast", ["image"], ["logits"], to=1)
    return helper.make_model(helper.make_graph([node], "small", [image], [logits])).SerializeToString()


def test_facts_come_back_as_they_were_written(graph: bytes) -> None:
    facts = read_facts(add_facts(graph, FACTS), "small.onnx")
    assert len(facts.sha256) == 64
    assert facts == ModelFacts(*(getattr(FACTS, field) for field in FACTS.__struct_fields__[:-1]), facts.sha256)


@given(licence=st.text(st.characters(exclude_categories=["Cs"]), max_size=5000), threshold=st.floats(0, 1))
def test_texts_of_any_length_and_any_threshold_come_back(licence: str, threshold: float) -> None:
    facts = read_facts(add_facts(b"", ModelFacts("a", ("all",), 1024, threshold, licence)), "a.onnx")
    assert (facts.licence, facts.threshold) == (licence, threshold)


def test_the_package_onnx_finds_the_facts_and_the_graph_as_it_was(graph: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(add_facts(graph, FACTS))
    assert {entry.key: entry.value for entry in model.metadata_props}["segdata.who"] == '["all","dominant"]'
    assert model.graph == onnx.load_model_from_string(graph).graph


def test_the_hash_is_that_of_the_file_with_its_digits_as_zeros(graph: bytes) -> None:
    file = add_facts(graph, FACTS)
    stated = read_facts(file, "a.onnx").sha256
    assert hashlib.sha256(file.replace(stated.encode(), b"0" * 64)).hexdigest() == stated


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_one_changed_bit_is_noticed(graph: bytes, share: float) -> None:
    file = bytearray(add_facts(graph, FACTS))
    file[int(share * len(file))] ^= 1
    with pytest.raises(InputError, match=r"^a\.onnx "):
        read_facts(bytes(file), "a.onnx")


def test_bytes_that_were_added_or_lost_are_noticed(graph: bytes) -> None:
    file = add_facts(graph, FACTS)
    for changed in (file + b"\x72\x00", file[:-1], file[7:]):
        with pytest.raises(InputError, match=r"^a\.onnx "):
            read_facts(changed, "a.onnx")


@pytest.mark.parametrize("data", [b"no model", b"\xff" * 99, b"\x0a\x7f", b"PK\x03\x04"])
def test_what_is_no_model_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(InputError, match=r"a\.onnx is no ONNX model: use a file that segdata export-model wrote"):
        read_facts(data, "a.onnx")


def test_a_model_of_others_is_told_from_a_damaged_one(graph: bytes) -> None:
    with pytest.raises(InputError, match=r"a\.onnx does not say how it is to be run"):
        read_facts(graph, "a.onnx")


def test_a_fact_that_is_missing_or_wrong_is_named(graph: bytes) -> None:
    file = add_facts(graph, FACTS)
    with pytest.raises(InputError, match=r"does not say all that is needed to run it .*pixels"):
        read_facts(file.replace(b"segdata.pixels", b"segdata.pickle"), "a.onnx")
    with pytest.raises(InputError, match=r"does not say all that is needed to run it .*pixels"):
        read_facts(file.replace(b"221184", b"many!!"), "a.onnx")


def test_a_file_of_a_later_format_asks_for_a_later_segdata(graph: bytes) -> None:
    file = add_facts(graph, FACTS).replace(b"segdata.format\x12\x011", b"segdata.format\x12\x012")
    with pytest.raises(InputError, match="is a model file of format 2, and only 1 is known: update segdata"):
        read_facts(file, "a.onnx")


def test_reading_facts_loads_neither_onnx_nor_an_engine_nor_torch() -> None:
    code = "import sys, segdata.models.model_file; print({'onnx', 'onnxruntime', 'torch', 'cv2'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
