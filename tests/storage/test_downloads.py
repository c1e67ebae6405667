import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import HTTPError

import pytest

from dmt.errors import UserError
from dmt.storage.downloads import download

CONTENT = bytes(range(256)) * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REMEDY = "put the file there yourself"


class Answers(BaseHTTPRequestHandler):
    """``/whole``, ``/cut`` (the connection ends half-way), and 404 for everything else."""

    def do_GET(self):
        if self.path not in ("/whole", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/whole" else CONTENT[: len(CONTENT) // 2])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("sha256", ["", SHA256[:8], SHA256])
def test_a_file_is_downloaded_and_verified_and_its_folder_made(server, tmp_path, sha256):
    path = tmp_path / "new/folder/file.bin"
    assert download(f"{server}/whole", path, sha256, REMEDY) == path
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_local_mirror_will_do(tmp_path):
    (tmp_path / "mirror.bin").write_bytes(CONTENT)
    path = download((tmp_path / "mirror.bin").as_uri(), tmp_path / "file.bin", SHA256, REMEDY)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "sha256"),
    [
        ("{server}/whole", "00000000"),  # another file
        ("{server}/cut", SHA256),
        ("{server}/cut", ""),
        ("{server}/missing", ""),
        ("http://127.0.0.1:9/refused", ""),
        ("file:///nonexistent/file", ""),
    ],
)
def test_what_goes_wrong_is_an_error_with_the_address_and_the_remedy_and_leaves_nothing(server, tmp_path, url, sha256):
    url = url.format(server=server)
    with pytest.raises(UserError) as caught:
        download(url, tmp_path / "file.bin", sha256, REMEDY)
    assert url in str(caught.value)
    assert REMEDY in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    if isinstance(caught.value.__cause__, HTTPError):
        caught.value.__cause__.close()  # it holds its connection


def test_a_folder_that_cannot_be_made_is_an_error_with_the_remedy(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=REMEDY):
        download(f"{server}/whole", tmp_path / "file/below.bin", SHA256, REMEDY)


def test_a_failed_download_leaves_the_file_that_was_there(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(UserError):
        download(f"{server}/whole", path, "00000000", REMEDY)
    assert path.read_bytes() == b"old"
