"""The review site talks to a browser of this machine that has the token, and shows nothing outside the data set."""

import os
import re
import socket
from contextlib import ExitStack

import numpy as np
import pytest
from reviewing import make_dataset, read_rows, saving, serving, write_rows

from segdata.pixels import encode_png

KEY = "shoot/0000"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with serving(make_dataset(tmp_path_factory.mktemp("data"))) as site:
        yield site


PATHS = [
    "/",
    "/static/main.js",
    "/api/site",
    "/api/queue",
    "/api/changes?since=0",
    f"/api/sample?key={KEY}",
    f"/api/neighbour?key={KEY}",
    f"/photo?key={KEY}",
    f"/thumb?key={KEY}",
    f"/mask?key={KEY}&of=stored",
    f"/superpixels?key={KEY}",
]


@pytest.mark.parametrize("path", PATHS)
def test_everything_is_there_with_the_cookie_and_nothing_without(site, path):
    assert site.get(path).status == 200
    for cookie in ("", f"{site.cookie[:-1]}~", site.cookie.partition("=")[0] + "="):
        answer = site.get(path, {"Cookie": cookie})
        assert answer.status == 403
        assert b"shoot" not in answer.body


def test_the_token_of_the_address_sets_a_cookie_that_no_script_and_no_other_site_gets(site):
    answer = site.bare("GET", f"/?token={site.token}", {"Host": site.host})
    assert answer.status == 200
    assert re.search("HttpOnly", answer.headers["set-cookie"])
    assert re.search("SameSite=Strict", answer.headers["set-cookie"])
    assert site.token not in answer.headers["set-cookie"]
    assert site.token.encode() not in answer.body
    assert site.bare("GET", "/", {"Host": site.host, "Cookie": site.cookie}).status == 200


@pytest.mark.parametrize("token", ["", "x", "%00", "%ff", "a" * 5000])
def test_another_token_opens_nothing(site, token):
    answer = site.bare("GET", f"/?token={token}", {"Host": site.host})
    assert answer.status == 403
    assert answer.headers["set-cookie"] is None


def test_the_token_counts_at_the_first_page_alone_and_only_once_in_the_address(site):
    assert site.bare("GET", f"/api/site?token={site.token}", {"Host": site.host}).status == 403
    assert site.bare("GET", f"/?token={site.token}&token=x", {"Host": site.host}).status == 403
    post = site.bare("POST", f"/?token={site.token}", {"Host": site.host, "Origin": site.origin}, b"")
    assert post.status == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "[::1]:{port}", "", "0.0.0.0:{port}"],
)
@pytest.mark.parametrize("path", ["/", "/api/queue", "/?token={token}"])
def test_a_name_that_someone_else_lets_point_here_is_refused(site, host, path):
    path = path.format(token=site.token)
    answer = site.bare("GET", path, {"Host": host.format(port=site.port), "Cookie": site.cookie})
    assert answer.status in {400, 421}
    assert answer.headers["set-cookie"] is None


def test_two_hosts_are_refused(site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as line:
        line.sendall(
            f"GET / HTTP/1.1\r\nHost: {site.host}\r\nHost: evil.example\r\nCookie: {site.cookie}\r\n\r\n".encode()
        )
        assert re.match(rb"HTTP/1.1 4\d\d", line.recv(100))


def test_localhost_is_this_machine_too(site):
    assert site.get("/api/site", {"Host": f"localhost:{site.port}"}).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://localhost"]
)
def test_a_page_of_another_origin_reaches_nothing_even_with_the_cookie(site, origin):
    origin = origin.format(port=site.port)
    assert site.put(KEY, saving(), {"Origin": origin}).status == 403
    assert site.get("/api/queue", {"Origin": origin}).status == 403


@pytest.mark.parametrize("where", ["cross-site", "same-site"])
def test_a_browser_that_says_another_site_asks_is_believed(site, where):
    assert site.get(f"/photo?key={KEY}", {"Sec-Fetch-Site": where}).status == 403


def test_what_changes_something_must_say_where_it_comes_from(site):
    headers = {"Host": site.host, "Cookie": site.cookie, "Content-Type": "application/json"}
    assert site.bare("PUT", f"/api/decision?key={KEY}", headers, b"{}").status == 403


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(site, method):
    headers = {"Host": site.host, "Cookie": site.cookie, "Origin": site.origin}
    assert site.bare(method, f"/api/decision?key={KEY}", headers, b"").status == 405
    assert site.bare(method, "/api/queue", headers, b"").status == 405


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/?token=x"])
def test_every_answer_forbids_inline_scripts_frames_and_guessing(site, path):
    headers = site.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["access-control-allow-origin"] is None


def test_the_page_and_its_scripts_load_nothing_from_elsewhere_and_run_no_text(site):
    page = site.get("/").body.decode()
    assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\son\w+=|style=", page)
    names = re.findall(r"\"(/static/[^\"]+)\"", page)
    scripts = {name: site.get(name).body.decode() for name in names}
    waiting = list(scripts)
    while waiting:
        for name in re.findall(r"from \"\./([^\"]+)\"", scripts[waiting.pop()]):
            if f"/static/{name}" not in scripts:
                scripts[f"/static/{name}"] = site.get(f"/static/{name}").body.decode()
                waiting.append(f"/static/{name}")
    assert len(scripts) > 8
    for name, text in scripts.items():
        assert not re.search(
            r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|import\(", text
        ), name


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/store.py",
        "/static/nothing.js",
        "/images/",
        "/images/shoot/0000.png",
        "/.review.sqlite",
        "/metadata.jsonl",
        "//etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
    ],
)
def test_there_are_no_folders_and_no_files_but_those_that_are_named(site, path):
    assert site.get(path).status == 404


@pytest.mark.parametrize("path", ["/photo", "/thumb", "/mask", "/superpixels", "/api/sample"])
@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "shoot/../shoot/0000", "nothing", "\0", "a" * 3000])
def test_a_key_that_is_not_in_the_data_set_is_not_found(site, path, key):
    assert site.get(path, key=key, of="stored").status == 404


def secret_of(folder):
    secret = folder / "secret.png"
    secret.write_bytes(encode_png(np.full((40, 60), 77, np.uint8)))
    return secret


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "{folder}/secret.png",
        "images/../../secret.png",
        "images/link.png",
        "linked/secret.png",
        "images/pipe.png",
        "images",
        "images/\0.png",
        7,
        ["a"],
        "..\\secret.png",
    ],
)
def test_rows_and_links_that_lead_out_of_the_data_set_show_nothing(tmp_path, name):
    data = make_dataset(tmp_path / "data", 1)
    secret = secret_of(tmp_path)
    (data / "images" / "link.png").symlink_to(secret)
    (data / "linked").symlink_to(tmp_path)
    os.mkfifo(data / "images" / "pipe.png")
    name = name.format(folder=tmp_path) if isinstance(name, str) else name
    row = read_rows(data)[0]
    bad = {**row, "file_name": name, "mask_file_name": name, "edge_file_name": name, "saliency_file_name": name}
    write_rows(data, [bad])
    with serving(data) as site:
        for answer in (
            site.get("/photo", key=KEY),
            site.get("/thumb", key=KEY),
            site.get("/layer", key=KEY, name="edges"),
            site.get("/layer", key=KEY, name="saliency"),
            site.get("/superpixels", key=KEY),
        ):
            assert answer.status in {403, 404, 422}, answer.body
            assert answer.json["message"]
        stored = site.runs(KEY)  # what cannot be read is shown as empty, and told
        assert sum(stored[3::2]) == 0
        assert site.get("/api/sample", key=KEY).json["problems"]


def test_links_within_the_data_set_are_followed(tmp_path):
    data = make_dataset(tmp_path / "data", 1)
    (data / "images" / "link.png").symlink_to(data / "images" / "shoot" / "0000.png")
    write_rows(data, [{**read_rows(data)[0], "file_name": "images/link.png"}])
    with serving(data) as site:
        assert site.get("/photo", key=KEY).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (saving(verdict="delete"), 400),
        (saving(version=-1), 400),
        (saving(version="0"), 400),
        (saving(request="x"), 400),
        (saving(more="field"), 400),
        ({**saving(), "comment": "x" * 4001}, 400),
        ({**saving(), "comment": 7}, 400),
        (saving(mask="stored"), 400),
        (saving(mask=[1.5]), 400),
        (saving(mask=[-1, 2401]), 400),
        (saving(mask=[1 << 40]), 400),
        (saving(mask=[]), 422),
        (saving(mask=[2399]), 422),
        (saving(mask=[2401]), 422),
        (saving(mask=[1 << 31] * 9), 422),
        (saving(mask=[2400], drawn_on="x" * 65), 400),
    ],
)
def test_a_decision_that_is_none_is_refused_with_a_sentence(site, body, status):
    answer = site.put(KEY, body)
    assert answer.status == status
    assert answer.json["message"]
    assert site.get("/api/sample", key=KEY).json["mine"] is None


def test_a_decision_is_sent_as_json(site):
    assert site.put(KEY, saving(), {"Content-Type": "text/plain"}).status == 415


def test_a_body_has_a_bound_whether_it_says_its_length_or_not(site):
    assert site.put(KEY, b" " * (17 << 20)).status == 413
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as line:
        line.sendall(
            f"PUT /api/decision?key={KEY} HTTP/1.1\r\nHost: {site.host}\r\nOrigin: {site.origin}\r\n"
            f"Cookie: {site.cookie}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        try:
            for _ in range(17):
                line.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert b" 413 " in line.recv(200)


def send(site, text):
    """Open a connection and send text, of which `{site}` may name the address, the cookie and the origin."""
    line = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    line.sendall(text.format(site=site).replace("\n", "\r\n").encode())
    return line


def test_connections_that_never_ask_do_not_keep_the_site_from_answering(tmp_path, monkeypatch):
    pytest.importorskip("uvicorn", reason="the review site needs uvicorn: pip install 'segdata[review]'")
    monkeypatch.setattr("segdata.report.review.serve._PATIENCE", 0.5)
    with serving(make_dataset(tmp_path, 1)) as site, ExitStack() as stack:
        head = "GET / HTTP/1.1\nHost: {site.host}\n"
        answered = [stack.enter_context(send(site, head + "Cookie: {site.cookie}\n\n" + head)) for _ in range(4)]
        for line in answered:
            assert line.recv(15) == b"HTTP/1.1 200 OK"
        silent = [stack.enter_context(send(site, text)) for text in ("", head) for _ in range(64)]
        assert [line.recv(1) for line in silent] == [b""] * 128  # closed, not answered
        assert site.get("/").status == 200


def test_a_body_that_never_ends_is_given_up(tmp_path, monkeypatch):
    pytest.importorskip("starlette", reason="the review site needs starlette: pip install 'segdata[review]'")
    monkeypatch.setattr("segdata.report.review.app._PATIENCE", 0.2)
    head = (
        f"PUT /api/decision?key={KEY} HTTP/1.1\nHost: {{site.host}}\nOrigin: {{site.origin}}\nCookie: {{site.cookie}}\n"
    )
    with serving(make_dataset(tmp_path, 1)) as site:
        with send(site, head + "Content-Type: application/json\nContent-Length: 90\n\n{{") as line:
            assert b" 408 " in line.recv(200)
        assert site.get("/").status == 200


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET / HTTP/1.0\n\n", 421),
        ("GET http://evil.example/ HTTP/1.1\nHost: evil.example\n\n", 421),
        ("PUT /api/decision?key=a HTTP/1.1\nHost: {site.host}\nContent-Length: 9999999999\n\n", 403),
        (
            "POST / HTTP/1.1\nHost: {site.host}\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\nGET /\n",
            403,
        ),
        ("GET / HTTP/1.1\nHost: {site.host}\nCookie: {site.cookie}\nX: a\n\tHost: evil.example\n\n", 200),
        ("GET /\rX: HTTP/1.1\nHost: {site.host}\n\n", 400),
        ("GET / HTTP/1.1\nHost: {site.host}\nX\x00: a\n\n", 400),
        ("\x16\x03\x01\x02\x00\x01\n\n", 400),
    ],
)
def test_requests_that_no_browser_sends_get_the_answer_that_gives_least(site, text, status):
    with send(site, text) as line:
        assert int(line.recv(12)[9:]) == status


@pytest.mark.parametrize(
    "key", ["%0d%0aX-Injected:%201", "a%0aSet-Cookie:%20a=b", "%ff%fe", "%00", "..%2f..%2fetc%2fpasswd"]
)
@pytest.mark.parametrize("path", ["/photo", "/thumb", "/api/sample", "/superpixels", "/mask", "/api/neighbour"])
def test_nothing_of_a_request_becomes_a_header(site, path, key):
    answer = site.get(f"{path}?key={key}&of=stored&name={key}")
    assert answer.status in {200, 404}
    assert not {"x-injected", "set-cookie"} & {name.lower() for name in answer.headers}


def test_there_are_no_web_sockets_to_take_over(site):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answer = site.get("/", {**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert answer.status == 200
    assert answer.headers["sec-websocket-accept"] is None


@pytest.mark.parametrize("query", ["offset=x", "limit=1e9", "offset=99999999999999999999", "show=everything", "show="])
def test_a_queue_that_is_none_is_refused_with_a_sentence(site, query):
    answer = site.get(f"/api/queue?{query}")
    assert answer.status == 400
    assert answer.json["message"]


def test_the_site_listens_on_the_loopback_address_alone(site):
    with socket.socket() as line:
        line.settimeout(2)
        others = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in sorted(others - {"127.0.0.1"}) or ["127.0.0.2"]:
            assert line.connect_ex((address, site.port)) != 0


def test_a_key_with_markup_is_sent_as_text_alone(tmp_path):
    data = make_dataset(tmp_path, 1)
    key = "<img src=x onerror=alert(1)>"
    write_rows(data, [{**read_rows(data)[0], "key": key, "domain": "<script>alert(2)</script>"}])
    with serving(data) as site:
        for path in ("/api/queue", "/api/sample"):
            answer = site.get(path, key=key)
            assert answer.headers["content-type"] == "application/json"
            assert key in str(answer.json)
        assert b"onerror" not in site.get("/").body
