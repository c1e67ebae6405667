"""Zip files that somebody drops: pictures come out, everything else is said or refused."""

import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt.app import archives
from dmt.app.archives import unpacked
from dmt.errors import UserError


def picture(seed: int = 0) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_pictures_come_out_and_what_was_left_out_is_said(tmp_path):
    members = {
        "lemons/1.png": picture(),
        "lemons/deep/er/1.png": picture(1),
        "__MACOSX/lemons/._1.png": b"resource",
        "lemons/.hidden.png": picture(),
        "lemons/notes.txt": b"yellow",
        "lemons/broken.jpg": picture()[:60],
    }
    found = unpacked([packed(tmp_path / "lemons.zip", members)], tmp_path / "out")
    assert {np.asarray(Image.open(file)).tobytes() for file in found.pictures} == {
        np.asarray(Image.open(io.BytesIO(picture(seed)))).tobytes() for seed in (0, 1)
    }
    assert sorted(found.hidden) == ["__MACOSX/lemons/._1.png", "lemons/.hidden.png"]
    assert found.others == ["lemons/notes.txt"]
    assert found.broken == ["lemons/broken.jpg"]
    assert found.words.startswith("2 pictures; left out: 2 hidden (")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_pictures_may_be_dropped_as_they_are(tmp_path):
    for name in ("a.png", "b.PNG"):
        (tmp_path / name).write_bytes(picture())
    found = unpacked([tmp_path / "a.png", tmp_path / "b.PNG"], tmp_path / "out")
    assert found.words == "2 pictures"


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "a/../../b.png", "..\\a.png", "C:\\a.png", "C:/a.png"])
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    archive = packed(tmp_path / "a.zip", {"fine.png": picture(), name: picture()})
    with pytest.raises(UserError, match="leads out of the folder"):
        unpacked([archive], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        unpacked([tmp_path / "a.zip"], tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    archive = packed(tmp_path / "a.zip", {"bomb.png": bytes(20 * 10**6)})
    with pytest.raises(UserError, match=r"unpacks from .* to 20 MB"):
        unpacked([archive], tmp_path / "out")


def test_a_bomb_that_lies_about_its_size_is_found_while_it_unpacks(tmp_path, monkeypatch):
    archive = packed(tmp_path / "a.zip", {"1.bmp": picture() * 40, "2.bmp": picture() * 40})
    monkeypatch.setattr(archives, "_require_harmless", lambda members, name: None)  # as if headers had said nothing
    monkeypatch.setattr(archives, "MOST_BYTES", 50 * len(picture()))
    with pytest.raises(UserError, match="unpacks to more than"):
        unpacked([archive], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    with pytest.raises(UserError, match="holds 3 files"):
        unpacked([packed(tmp_path / "a.zip", {f"{i}.png": picture() for i in range(3)})], tmp_path / "out")


def test_an_encrypted_file_is_refused(tmp_path):
    content = bytearray(packed(tmp_path / "a.zip", {"a.png": picture()}).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the general purpose flags of both headers
        content[content.index(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="encrypted"):
        unpacked([tmp_path / "a.zip"], tmp_path / "out")


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.9])
def test_a_damaged_file_is_said_to_be_so(tmp_path, cut):
    whole = packed(tmp_path / "a.zip", {f"{i}.png": picture(i) for i in range(5)}).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(UserError, match=r"a\.zip is damaged"):
        unpacked([tmp_path / "a.zip"], tmp_path / "out")


def test_where_there_is_no_picture_what_there_is_instead_is_said(tmp_path):
    archive = packed(tmp_path / "a.zip", {"notes.txt": b"yellow", "1.png": b"no picture"})
    with pytest.raises(UserError, match=r"no picture in what.*: 1 no picture by its name \(notes.txt\), 1 damaged"):
        unpacked([archive], tmp_path / "out")


def test_damaged_content_is_said(tmp_path):
    whole = bytearray(packed(tmp_path / "a.zip", {"a.png": picture()}).read_bytes())
    whole[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(whole)
    with pytest.raises(UserError, match="is damaged"):
        unpacked([tmp_path / "a.zip"], tmp_path / "out")
