"""The server as it stands in the network: clients who send too much, nonsense or nothing, who are slow, and many."""

import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
import time

import httpx
import pytest

from vla_ros.dashboard.patience import MOST

from .browser import Running

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")
PATIENCE = 20.0


@pytest.fixture
def running():
    with Running() as running:
        until(lambda: healthy(running))
        yield running


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def healthy(running):
    try:
        return httpx.get(f"{running.url}healthz").status_code == 200
    except httpx.TransportError:
        return False


def wire(running, path, **options):
    return client.connect(running.url.replace("http", "ws") + path, max_queue=1, **options)


def exposure(packet):
    return struct.unpack_from(">Q", packet)[0]


def test_a_message_that_is_too_large_ends_its_connection_only(running):
    with wire(running, "api/teleop") as bad, wire(running, "api/telemetry") as good:
        bad.send('{"t": 1, "clutch": true, "move": [' + "0," * 5000)
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            bad.recv(timeout=PATIENCE)
        assert closed.value.rcvd.code == 1009
        assert '"snapshot"' in good.recv(timeout=PATIENCE) + good.recv(timeout=PATIENCE)
    assert running.robot.commands.drives == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 40000,
        b"\x00" * 3000,
        b"POST /api/stop HTTP/9\r\n\r\n",
    ],
    ids=["tls", "header", "zeros", "version"],
)
def test_nonsense_on_the_socket_disturbs_nobody(running, garbage):
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(garbage)
        raw.settimeout(PATIENCE)
        assert healthy(running)
    assert httpx.post(f"{running.url}api/stop").json() == {"text": "done"}
    assert running.robot.commands.wishes == ["stop"]


def test_stop_waits_for_no_body_however_much_was_promised(running):
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(
            b"POST /api/stop HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 99999999\r\n\r\nx" % running.port
        )
        raw.settimeout(PATIENCE)
        assert raw.recv(100).startswith(b"HTTP/1.1 200")
    assert running.robot.commands.wishes == ["stop"]


def test_connections_that_ask_nothing_make_room_and_stop_gets_through(running):
    with contextlib.ExitStack() as stack:
        idle = []
        for k in range(300):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            raw.sendall(b"POST /api/stop HTTP/1.1\r\n" if k % 2 else b"")  # and never the rest
            idle.append(raw)
        assert httpx.post(f"{running.url}api/stop").json() == {"text": "done"}
        until(lambda: sum(map(gone, idle)) >= 300 - MOST)


def gone(raw):
    """Whether the other side has closed a connection."""
    raw.settimeout(0.001)
    try:
        return raw.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def ping_on(wire):
    for _ in range(100_000):
        wire.ping()


def test_who_floods_a_websocket_is_cut_off_and_the_others_are_served(running):
    with wire(running, "api/telemetry") as flood, wire(running, "api/telemetry") as good:
        good.recv(timeout=PATIENCE)
        with pytest.raises(exceptions.ConnectionClosed):
            ping_on(flood)
        assert httpx.post(f"{running.url}api/stop").json() == {"text": "done"}
        assert '"snapshot"' in good.recv(timeout=PATIENCE) + good.recv(timeout=PATIENCE)


def test_who_reads_nothing_holds_up_nobody_and_has_the_newest_when_he_does(running):
    with wire(running, "cameras/static?credit=1") as slow, wire(running, "cameras/static") as quick:
        first = exposure(slow.recv(timeout=PATIENCE))
        for _ in range(20):
            last = exposure(quick.recv(timeout=PATIENCE))
        with pytest.raises(TimeoutError):
            slow.recv(timeout=0.1)
        slow.send("n")
        assert exposure(slow.recv(timeout=PATIENCE)) != first
        assert last != first


def test_nothing_is_encoded_while_nobody_looks(running):
    def encoded():
        text = httpx.get(f"{running.url}metrics").text
        return 'vla_ros_viewers{camera="static"} 0' in text, text.partition('frames_encoded_total{camera="static"} ')[
            2
        ][:6]

    with wire(running, "cameras/static") as viewer:
        viewer.recv(timeout=PATIENCE)
    until(lambda: encoded()[0])
    before = encoded()[1]
    time.sleep(0.3)
    assert encoded()[1] == before


def test_each_frame_is_encoded_once_for_all(running):
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(wire(running, "cameras/static")) for _ in range(4)]
        got = [viewer.recv(timeout=PATIENCE) for _ in range(10) for viewer in viewers]
        text = httpx.get(f"{running.url}metrics").text
    encoded = int(text.partition('frames_encoded_total{camera="static"} ')[2].partition("\n")[0])
    assert len(got) == 40
    assert encoded < 30


def test_more_viewers_than_there_may_be_are_sent_away(running):
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(wire(running, "cameras/wrist")).recv(timeout=PATIENCE)
        late = stack.enter_context(wire(running, "cameras/wrist"))
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            late.recv(timeout=PATIENCE)
        assert closed.value.rcvd.code == 1013


def test_mjpeg_is_a_picture_after_the_other(running):
    with httpx.stream("GET", f"{running.url}cameras/static.mjpg") as answer:
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        data = b""
        for part in answer.iter_bytes():
            data += part
            if data.count(b"--frame") >= 4:
                break
    pictures = data.split(b"--frame\r\n")[1:4]
    assert all(b"\r\n\r\n\xff\xd8" in picture for picture in pictures)


def test_tls_by_a_certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*words.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True)
    with Running(certificate=certificate, key=key) as running:
        context = ssl.create_default_context(cafile=certificate)
        url = f"https://localhost:{running.port}"

        def answers():
            try:
                return httpx.get(f"{url}/healthz", verify=context).status_code == 200
            except httpx.TransportError:
                return False

        until(answers)
        assert httpx.post(f"{url}/api/stop", verify=context, headers={"origin": url}).status_code == 200
        foreign = {"origin": f"http://localhost:{running.port}"}
        assert httpx.post(f"{url}/api/stop", verify=context, headers=foreign).status_code == 403
