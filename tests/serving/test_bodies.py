"""Bodies: raw ones and forms, read in memory and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.serving.bodies import MAX_PART_HEADERS, form_parts, images_of
from cnnkit.serving.refusals import Refusal

TYPE = "multipart/form-data; boundary=XyZ"


def form(parts: dict[str, bytes], boundary: str = "XyZ", before: bytes = b"") -> bytes:
    """Return the body that a browser or curl sends."""
    body = before
    for name, content in parts.items():
        body += f"--{boundary}\r\n".encode()
        body += f'Content-Disposition: form-data; name="{name}"; filename="x.jpg"\r\n'.encode()
        body += b"Content-Type: image/jpeg\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


@given(
    st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=200), max_size=4),
    st.sampled_from(["XyZ", "----WebKitFormBoundary7MA4", "'()+_,-./:=?"]),
    st.sampled_from([b"", b"a preamble\r\n"]),
)
def test_the_parts_of_a_form_come_back(parts, boundary, before):
    if any(f"\r\n--{boundary}".encode() in b"\r\n" + content for content in parts.values()):
        return
    quoted = f'multipart/form-data; boundary="{boundary}"'
    assert form_parts(form(parts, boundary, before), quoted, 4) == parts


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reading_of_a_form_fail_otherwise(body):
    for whole in (body, b"--XyZ\r\n" + body, form({"a": body})[:-9]):
        try:
            assert all(isinstance(part, bytes) for part in form_parts(whole, TYPE, 3).values())
        except Refusal as refusal:
            assert refusal.status == 400


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (form({"a": b"1"}), "multipart/form-data", "names no boundary"),
        (b"anything", TYPE, "does not occur"),
        (form({"a": b"1"})[:-10], TYPE, "ends early"),
        (form({"a": b"1", "b": b"2", "c": b"3"}), TYPE, "more than 2 parts"),
        (form({"a": b"1"})[:-9] + form({"a": b"2"}), TYPE, "two parts 'a'"),
        (form({"a": b""}).replace(b" name=", b" nam="), TYPE, "has no name"),
        (form({"a" * MAX_PART_HEADERS: b""}), TYPE, "no headers, or too many"),
    ],
)
def test_what_is_no_form_is_refused_with_the_reason(body, content_type, said):
    with pytest.raises(Refusal, match=said) as caught:
        form_parts(body, content_type, 2)
    assert caught.value.status == 400


def test_a_raw_body_is_the_image_whatever_it_is_called():
    for kind in ("", "image/heic", "application/x-www-form-urlencoded; charset=utf-8"):
        assert images_of(b"bytes", kind, ["image"]) == {"image": b"bytes"}


@pytest.mark.parametrize("kind", ["text/html", "application/json", "video/mp4"])
def test_another_type_is_refused(kind):
    with pytest.raises(Refusal, match="must be an image file") as caught:
        images_of(b"bytes", kind, ["image"])
    assert caught.value.status == 415


def test_two_images_need_a_form_and_the_message_shows_the_command():
    with pytest.raises(Refusal, match="curl -F a=@FILE -F b=@FILE"):
        images_of(b"bytes", "image/jpeg", ["a", "b"])


def test_parts_of_other_names_are_refused():
    with pytest.raises(Refusal, match=r"must have the parts a, b\. Received: 'a', 'c'"):
        images_of(form({"a": b"1", "c": b"2"}), TYPE, ["a", "b"])
    with pytest.raises(Refusal, match=r"and may have style\. Received: none"):
        images_of(b"--XyZ--", TYPE, ["image"], ["style"])
    assert images_of(form({"image": b"1"}), TYPE, ["image"], ["style"]) == {"image": b"1"}
