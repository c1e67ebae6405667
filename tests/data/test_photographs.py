import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin

from dmt.data import deep_tiff
from dmt.data.deep_tiff import turned
from dmt.data.images import ImageError, UnreadableError, to_rgb
from dmt.data.photographs import EXTENSIONS, Photograph, jpeg, photograph, png, reading
from dmt.data.photographs.xmp import with_note

H, W = 23, 17
TOP, LEFT = 4, 3
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TERM = "compositeWithTrainedAlgorithmicMedia"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
PACKET = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="uuid:7" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Camera" ext:DigitalSourceType="digitalCapture">'
    "<dc:creator><rdf:Seq><rdf:li>Żofia</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
    "<?xpacket end='w'?>"
).encode()


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    return exif


def picture(mode: str, height: int = H, width: int = W) -> Image.Image:
    rng = np.random.default_rng(7)
    if mode == "1":
        return Image.fromarray(rng.random((height, width)) < 0.5)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width)).astype(np.uint16))
    if mode == "F":
        return Image.fromarray(rng.random((height, width)).astype(np.float32))
    if mode == "P":
        return picture("RGB", height, width).quantize(20)
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


def stored_pixels(path: Path) -> np.ndarray:
    """What Pillow decodes, in the file's own orientation; of a table of colours, the colours."""
    with path.open("rb") as file, Image.open(file) as image:
        orientation = image.getexif().get(0x0112, 1)
        image.load()
        if image.format == "TIFF" and orientation != 1:  # Pillow has turned it
            back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
            image = image.transpose(Image.Transpose(back))
        return np.asarray(image.convert("RGB") if image.mode == "P" else image)


def some_change(height: int = 6, width: int = 5) -> np.ndarray:
    change = np.random.default_rng(1).uniform(-0.4, 0.4, (height, width, 3))
    change[0] = 0
    return change


def notes_in(path: Path) -> list[str]:
    return re.findall(rf"digitalsourcetype/({TERM})", path.read_bytes().decode("latin-1"))


LOSSLESS = [
    *[("PNG", ".png", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    *[("TIFF", ".tif", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F")],
    *[("TIFF", ".tiff", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")],
    ("TIFF", ".tif", "I;16", {"compression": "tiff_lzw"}),
    ("TIFF", ".tif", "1", {"compression": "group4"}),
    *[("WEBP", ".webp", mode, {"lossless": True, "exact": True}) for mode in ("RGB", "RGBA")],
]
LOSSY = [
    *[("JPEG", suffix, mode, {}) for suffix, mode in ((".jpg", "L"), (".jpeg", "RGB"), (".jpg", "CMYK"))],
    ("WEBP", ".webp", "RGB", {}),
]


@pytest.mark.parametrize(("format", "suffix", "mode", "options"), LOSSLESS + LOSSY)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_comes_back_as_it_came(tmp_path, format, suffix, mode, options, orientation):
    before = tmp_path / f"a{suffix}"
    picture(mode).save(before, format, exif=exif_of(orientation), icc_profile=ICC, **options)
    photograph = Photograph.read(before)
    after = photograph.changed(some_change(), TOP, LEFT).save(tmp_path / "b.png")
    assert after == tmp_path / f"b{suffix}"
    assert photograph.suffix == suffix
    with Image.open(before) as old, Image.open(after) as new:
        kept = ("format", "mode", "size")
        assert [getattr(new, name) for name in kept] == [getattr(old, name) for name in kept]
        assert new.info.get("exif") == old.info.get("exif")
        assert new.info["icc_profile"] == ICC
        assert new.info.get("compression") == old.info.get("compression")
        assert new.getexif()[0x0112] == orientation
        assert new.getexif()[0x010F] == "Maker"
        # Pillow does not write this group into a TIFF
        assert format == "TIFF" or new.getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert len(notes_in(after)) == 1
    assert not notes_in(photograph.save(tmp_path / "c", altered=False))
    if (format, suffix, mode, options) in LOSSLESS:
        old_pixels, new_pixels = stored_pixels(before), stored_pixels(after)
        inside = turned(np.arange(H * W).reshape(H, W), orientation)[TOP + 1 : TOP + 6, LEFT : LEFT + 5]
        is_inside = np.isin(np.arange(H * W).reshape(H, W), inside)
        assert (new_pixels[~is_inside] == old_pixels[~is_inside]).all()
        assert mode == "1" or (new_pixels[is_inside] != old_pixels[is_inside]).any()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_change_is_added_rounded_and_clipped_and_alpha_stays(mode):
    image = picture(mode)
    change = some_change()
    change[1, 0], change[1, 1] = 1, -1
    after = Photograph.of(image).changed(change, TOP, LEFT).stored
    old = np.asarray(image).astype(np.float64)
    white = 65535 if mode == "I;16" else 255
    expected = old.copy().reshape(H, W, -1)
    luma = 0.299 * change[..., 0] + 0.587 * change[..., 1] + 0.114 * change[..., 2]
    added = change if mode in ("RGB", "RGBA") else -change if mode == "CMYK" else luma[..., None]
    expected[TOP : TOP + 6, LEFT : LEFT + 5, : added.shape[2]] += white * added
    np.testing.assert_array_equal(after.reshape(H, W, -1), np.rint(expected.clip(0, white)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_turns_it_to(orientation):
    image = picture("RGB")
    image.getexif()[0x0112] = orientation
    photograph = Photograph.of(image)
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(photograph.rgb(), expected)
    assert (photograph.height, photograph.width) == expected.shape[:2]
    np.testing.assert_array_equal(photograph.rgb(2, 3, 5, 7), expected[2:7, 3:10])
    change = np.full((2, 3, 3), 10 / 255)
    expected = expected.astype(int)
    expected[4:6, 5:8] += 10
    np.testing.assert_array_equal(photograph.changed(change, 4, 5).rgb(), expected.clip(0, 255))
    np.testing.assert_array_equal(photograph.rgb(), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_rgb_is_what_pillow_makes_of_it(mode):
    image = picture(mode)
    ours, pillows = Photograph.of(image).rgb().astype(int), np.asarray(to_rgb(image)).astype(int)
    assert np.abs(ours - pillows).max() <= 1  # Pillow blends and multiplies in whole numbers


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["png", "plain", "deflate", "lzw", "separate planes", "big endian"])
def test_sixteen_bits_stay_sixteen(tmp_path, channels, orientation, kind):
    pixels = np.random.default_rng(3).integers(0, 65536, (H, W, channels)).astype(np.uint16)
    before = tmp_path / ("a.png" if kind == "png" else "a.tif")
    if kind == "png":
        code = cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA
        data = cv2.imencode(".png", cv2.cvtColor(pixels, code))[1].tobytes()
        # after the header, of 33 bytes
        before.write_bytes(data[:33] + png.chunk(b"eXIf", exif_of(orientation).tobytes()[6:]) + data[33:])
    elif kind == "lzw":
        code = cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA
        cv2.imwrite(str(before), cv2.cvtColor(pixels, code), [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        orientation = 1
    else:
        options = {
            "plain": {},
            "deflate": {"compression": "zlib", "predictor": True},
            "separate planes": {"planarconfig": "separate"},
            "big endian": {"byteorder": ">"},
        }[kind]
        tifffile.imwrite(
            before,
            np.moveaxis(pixels, 2, 0) if kind == "separate planes" else pixels,
            photometric="rgb",
            extrasamples=["unassalpha"] if channels == 4 else None,
            extratags=[(274, "H", 1, orientation, True)],
            iccprofile=ICC,
            **options,
        )
    photograph = Photograph.read(before)
    np.testing.assert_array_equal(photograph.stored, pixels)
    change = some_change()
    after = photograph.changed(change, TOP, LEFT).save(tmp_path / "b")
    if kind == "png":
        raw = cv2.imread(str(after), cv2.IMREAD_UNCHANGED)
        back = cv2.cvtColor(raw, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA)
    else:
        back = tifffile.imread(after)
    expected = pixels.astype(np.float64)
    turned(expected, orientation)[TOP : TOP + 6, LEFT : LEFT + 5, :3] += 65535 * change
    np.testing.assert_array_equal(back, np.rint(expected.clip(0, 65535)))
    assert len(notes_in(after)) == 1
    with Image.open(after) as image:
        assert image.getexif().get(0x0112, 1) == orientation
        if kind not in ("png", "lzw"):
            assert image.info["icc_profile"] == ICC


def test_sixteen_bit_grey_with_alpha_keeps_both(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 65536, (H, W, 2)).astype(np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunk = png.chunk
    data = chunk(b"IHDR", struct.pack(">LLBBBBB", W, H, 16, 4, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    photograph = Photograph.read(tmp_path / "a.png")
    np.testing.assert_array_equal(photograph.stored, pixels)
    np.testing.assert_array_equal(Photograph.read(photograph.save(tmp_path / "b")).stored, pixels)


@pytest.mark.parametrize("deep", [False, True])
def test_a_tiff_keeps_the_groups_of_exif_and_its_own_tags(tmp_path, deep):
    exif = exif_of(1)
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 13.0, 7.5)})
    exif[65000] = "mine"
    before, after = tmp_path / "a.tif", tmp_path / "b.tif"
    picture("RGB").save(before, exif=exif.tobytes(), dpi=(240, 240))
    photograph = Photograph.read(before)
    if deep:
        photograph = replace(photograph, stored=photograph.stored.astype(np.uint16) * 257, white=65535.0)
    photograph.save(after)
    with tifffile.TiffFile(before) as old, tifffile.TiffFile(after) as new:
        old_tags, new_tags = old.pages[0].tags, new.pages[0].tags
        for name in ("Make", "Orientation", "XResolution", "ResolutionUnit", 65000):
            assert new_tags[name].value == old_tags[name].value
        assert new_tags["ExifTag"].value["DateTimeOriginal"] == "2020:01:02 03:04:05"
        for group in ("ExifTag", "GPSTag"):
            assert new_tags[group].value == old_tags[group].value


def test_a_jpeg_keeps_its_tables_sampling_scan_resolution_comment_and_iptc(tmp_path):
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0"
    image = picture("RGB", 64, 48).resize((96, 128))
    extra = jpeg.segment(0xED, iptc)
    image.save(
        tmp_path / "a.jpg", quality=81, subsampling=1, progressive=True, dpi=(300, 300), comment="hi", extra=extra
    )
    after = Photograph.read(tmp_path / "a.jpg").changed(some_change(), 0, 0).save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.jpg") as old, Image.open(after) as new:
        assert new.quantization == old.quantization
        assert JpegImagePlugin.get_sampling(new) == 1
        assert new.info["progressive"]
        assert new.info["dpi"] == (300, 300)
        assert new.info["comment"] == b"hi"
        assert ("APP13", iptc) in new.applist


@pytest.mark.parametrize("quality", [75, 90])
def test_a_jpeg_far_from_the_change_mostly_comes_back_bit_for_bit(tmp_path, quality):
    # a smooth picture, whose coefficients lie on the file's own grid: rounding to whole pixels moves them by less
    # than half a step of it, so that the same ones are found again
    y, x = np.mgrid[:128, :160]
    pixels = np.stack([128 + 60 * np.sin(x / 9), 128 + 60 * np.cos(y / 11), 128 + 40 * np.sin((x + y) / 13)], axis=2)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.jpg", quality=quality, subsampling=0)
    before = Photograph.read(tmp_path / "a.jpg")
    after = Photograph.read(before.changed(np.full((16, 16, 3), 0.2), 0, 0).save(tmp_path / "b.jpg"))
    assert (before.rgb()[16:, 16:] == after.rgb()[16:, 16:]).mean() > 0.95
    assert np.abs(after.rgb()[2:14, 2:14] - before.rgb()[2:14, 2:14].astype(float) - 51).mean() < 5


def test_png_chunks_come_back_byte_for_byte_but_those_unsafe_to_copy(tmp_path):
    kept = [(b"gAMA", struct.pack(">L", 45455)), (b"tEXt", b"Author\0me"), (b"pHYs", struct.pack(">LLB", 2, 3, 0))]
    unsafe = [(b"iDOT", b"\0" * 28), (b"tIME", struct.pack(">HBBBBB", 2020, 1, 2, 3, 4, 5))]
    picture("RGB").save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    pieces = b"".join(png.chunk(*piece) for piece in kept + unsafe)
    (tmp_path / "a.png").write_bytes(data[:33] + pieces + data[33:])
    after = Photograph.read(tmp_path / "a.png").save(tmp_path / "b.png", altered=False)
    assert [piece for piece in png.chunks_of(after) if piece[0] not in (b"IHDR", b"IEND")] == kept


@pytest.mark.parametrize(("format", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("TIFF", ".tif"), ("WEBP", ".webp")])
def test_an_xmp_packet_is_kept_and_added_to(tmp_path, format, suffix):
    Photograph.of(picture("RGB")).save(tmp_path / "plain")
    photograph = Photograph.of(picture("RGB"))
    before = tmp_path / f"a{suffix}"
    if format == "PNG":
        data = (tmp_path / "plain.png").read_bytes()
        end = data.index(b"IDAT") - 4
        start = data.index(b"iTXt") - 4
        chunk = png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET)
        before.write_bytes(data[:start] + chunk + data[end:])
    elif format == "TIFF":
        tifffile.imwrite(
            before, photograph.stored, photometric="rgb", extratags=[(700, "B", len(PACKET), PACKET, True)]
        )
    elif format == "JPEG":
        picture("RGB").save(before, extra=jpeg.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET))
    else:
        picture("RGB").save(before, xmp=PACKET)
    photograph = Photograph.read(before)
    assert photograph.record.xmp == PACKET
    assert Photograph.read(photograph.save(tmp_path / "same", altered=False)).record.xmp == PACKET
    after = Photograph.read(photograph.save(tmp_path / "b"))
    twice = Photograph.read(after.save(tmp_path / "c"))
    for packet in (after.record.xmp, twice.record.xmp):
        root = ElementTree.fromstring(packet)
        values = [node.get(SOURCE_TYPE) for node in root.iter(f"{RDF}Description") if node.get(SOURCE_TYPE)]
        assert [value.rsplit("/", 1)[1] for value in values] == [TERM]
        assert {node.get(f"{RDF}about") for node in root.iter(f"{RDF}Description")} == {"uuid:7"}
        assert packet.count(b"CreatorTool") == 1
        assert "Żofia".encode() in packet


@pytest.mark.parametrize(
    "known",
    [
        '<rdf:Description rdf:about=""><I:DigitalSourceType>x</I:DigitalSourceType></rdf:Description>',
        '<rdf:Description rdf:about=""><I:DigitalSourceType rdf:resource="x"/></rdf:Description>',
        "<rdf:Description rdf:about='' I:DigitalSourceType='x'/>",
    ],
)
def test_a_source_type_that_was_there_is_replaced(known):
    names = (
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:I="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    )
    packet = with_note(f"<rdf:RDF {names}>{known}</rdf:RDF>".encode())
    assert len(ElementTree.fromstring(packet)) == 2
    assert packet.count(b"DigitalSourceType") == 1
    assert with_note(b"no packet") == with_note(b"")


def test_a_packet_that_fills_the_segment_of_a_jpeg_stays_and_a_comment_says_so(tmp_path):
    full = PACKET.replace(b"<dc:creator>", b"<dc:creator><!--" + b"x" * (65400 - len(PACKET)) + b"-->")
    picture("RGB").save(tmp_path / "a.jpg", extra=jpeg.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + full))
    after = Photograph.read(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    assert Photograph.read(after).record.xmp == full
    with Image.open(after) as image:
        assert TERM.encode() in image.info["comment"]


def test_a_gif_stays_one_while_its_colours_fit_and_becomes_a_png_when_not(tmp_path):
    image = picture("P")
    image.info["transparency"] = 3
    image.save(tmp_path / "a.gif")
    photograph = Photograph.read(tmp_path / "a.gif")
    few = np.zeros((2, 2, 3))
    few[0, 0] = 0.1
    after = photograph.changed(few, 0, 0).save(tmp_path / "b")
    with Image.open(tmp_path / "a.gif") as old, Image.open(after) as new:
        assert new.format == "GIF"
        np.testing.assert_array_equal(np.asarray(new.convert("RGBA"))[2:], np.asarray(old.convert("RGBA"))[2:])
    many = np.random.default_rng(0).uniform(-1, 1, (H, W, 3))
    after = photograph.changed(many, 0, 0).save(tmp_path / "c.gif")
    assert after == tmp_path / "c.png"
    assert Photograph.read(after).colours == "RGBA"
    assert photograph.suffix == ".gif"


def test_of_several_frames_the_first_is_read(tmp_path):
    frames = [Image.new("L", (W, H), value) for value in (10, 200)]
    for name in ("a.tif", "a.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert (Photograph.read(tmp_path / name).rgb() == 10).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_heic_and_avif_come_back(tmp_path, mode):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    smooth = picture(mode, 4, 4).resize((64, 48), Image.Resampling.BICUBIC)
    for suffix in (".heic", ".avif"):
        before = tmp_path / f"a{suffix}"
        try:
            smooth.save(before, exif=exif_of(6).tobytes(), icc_profile=ICC)
        except (KeyError, ValueError, OSError):
            continue  # a Pillow without AVIF
        photograph = Photograph.read(before)
        assert (photograph.height, photograph.width) == (64, 48)
        after = photograph.changed(np.full((16, 16, 3), 0.1), 0, 0).save(tmp_path / "b")
        assert after.suffix == suffix
        back = Photograph.read(after)
        assert (back.height, back.width, back.colours) == (64, 48, mode)
        assert back.record.icc == ICC
        assert np.abs(back.rgb()[24:].astype(int) - photograph.rgb()[24:]).mean() < 3
        assert len(notes_in(after)) == 1


def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    with pytest.raises(ImageError, match=r"needs pillow-heif: pip install 'dmt\[heic\]'"):
        Photograph.read(tmp_path / "a.heic")


def test_arrays_keep_their_precision():
    pixels = np.random.default_rng(0).random((H, W, 3))
    photograph = Photograph.of_pixels(pixels)
    assert photograph.suffix == ".png"
    np.testing.assert_array_equal(photograph.stored, pixels)
    np.testing.assert_array_equal(photograph.rgb(), np.rint(pixels * 255))
    change = np.full((2, 2, 3), 1e-9)
    assert photograph.changed(change, 0, 0).stored[0, 0, 0] == pixels[0, 0, 0] + 1e-9
    whole = np.arange(H * W * 3).reshape(H, W, 3).astype(np.uint8)
    np.testing.assert_array_equal(Photograph.of_pixels(whole).rgb(), whole)


def test_floats_are_saved_in_sixteen_bits(tmp_path):
    pixels = np.random.default_rng(0).random((H, W, 3))
    after = Photograph.of_pixels(pixels).save(tmp_path / "run_0.5")
    assert after == tmp_path / "run_0.5.png"
    raw = cv2.imread(str(after), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(raw, np.rint(pixels * 65535))


def test_no_change_shares_the_pixels_and_a_change_leaves_the_first_alone():
    image = picture("RGB")
    photograph = Photograph.of(image)
    assert photograph.changed(np.zeros((3, 3, 3)), 0, 0).stored is photograph.stored
    photograph.changed(np.ones((3, 3, 3)), 0, 0)
    np.testing.assert_array_equal(photograph.stored, np.asarray(image))


def test_a_float_keeps_its_bits_where_the_change_is_zero():
    values = np.array([[-0.0, 0.25, 1.0], [np.float32(1e-40), 0.5, 0.75]], np.float32)
    photograph = Photograph.of(Image.fromarray(values))
    change = np.zeros((2, 3, 3))
    change[1, 1] = 0.25
    after = photograph.changed(change, 0, 0).stored
    assert after[1, 1] == np.float32(0.75)
    after[1, 1] = values[1, 1]
    np.testing.assert_array_equal(after.view(np.uint32), values.view(np.uint32))


def in_bands(monkeypatch, pixels):
    for module in (deep_tiff, photograph, reading):
        monkeypatch.setattr(module, "BAND", pixels)


@pytest.mark.parametrize(("height", "width", "longest"), [(400, 300, 100), (301, 997, 64), (5, 3000, 50), (30, 20, 64)])
def test_reduced_is_a_box_filter(monkeypatch, height, width, longest):
    in_bands(monkeypatch, 2**12)
    image = picture("RGB", height, width)
    small, factor = Photograph.of(image).reduced(longest)
    assert max(small.shape[:2]) == min(longest, max(height, width))
    assert factor == min(1, longest / max(height, width))
    expected = image.resize((small.shape[1], small.shape[0]), Image.Resampling.BOX)
    np.testing.assert_array_equal(small, np.asarray(expected))


def test_many_bands_give_what_one_gives(tmp_path, monkeypatch):
    picture("RGBA", 200, 130).save(tmp_path / "a.png")
    whole = Photograph.read(tmp_path / "a.png")
    in_bands(monkeypatch, 1000)
    banded = Photograph.read(tmp_path / "a.png")
    np.testing.assert_array_equal(banded.stored, whole.stored)
    np.testing.assert_array_equal(banded.rgb(), whole.rgb())
    change = some_change(150, 120)
    after = banded.changed(change, 9, 8)
    monkeypatch.undo()
    np.testing.assert_array_equal(after.stored, whole.changed(change, 9, 8).stored)
    in_bands(monkeypatch, 1000)
    np.testing.assert_array_equal(np.asarray(Image.open(after.save(tmp_path / "b"))), after.stored)


def test_what_does_not_decode_is_said_in_one_line(tmp_path):
    noisy = picture("RGB", 200, 200)
    for name in ("a.jpg", "a.png", "a.tif", "a.webp", "a.gif", "a.bmp"):
        noisy.save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(tmp_path / "deep.png"), np.random.default_rng(0).integers(0, 65536, (99, 99, 3)).astype(np.uint16))
    data = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").write_bytes(data[: len(data) // 2])
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((99, 99, 3), np.uint16), photometric="rgb")
    data = (tmp_path / "deep.tif").read_bytes()
    (tmp_path / "deep.tif").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    for path in [*tmp_path.iterdir(), tmp_path / "absent.png"]:
        with pytest.raises((ImageError, UnreadableError), match=re.escape(str(path))) as error:
            Photograph.read(path)
        assert "\n" not in str(error.value)


def test_what_is_too_large_is_refused_with_its_size_and_pillow_keeps_its_limit(tmp_path, monkeypatch):
    limit = Image.MAX_IMAGE_PIXELS
    head = struct.pack(">LLBBBBB", 20_000, 10_001, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png.chunk(b"IHDR", head) + png.chunk(b"IDAT", b"")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(
        ImageError, match=r"20000 x 10001 are 200 megapixels, and the limit is 200 \(limits\.pixels\); scale it down"
    ):
        Photograph.read(tmp_path / "bomb.png")
    assert limit == Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # of Pillow's own, which must not stop a large photograph
    in_bands(monkeypatch, 1)
    Image.new("L", (50, 50)).save(tmp_path / "large.png")
    assert Photograph.read(tmp_path / "large.png").height == 50


def test_arrays_and_images_that_are_none_are_refused():
    with pytest.raises(ImageError, match="must be"):
        Photograph.of_pixels(np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(ImageError, match="must be"):
        Photograph.of_pixels(np.zeros((3, 4, 3), np.int64))
    with pytest.raises(ImageError, match="no pixels"):
        Photograph.of_pixels(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(ImageError, match=r"in \[0, 1\]"):
        Photograph.of_pixels(np.full((2, 2, 3), np.nan))
    with pytest.raises(ImageError, match="no pixels"):
        Photograph.of(Image.new("RGB", (0, 3)))


def test_regions_and_changes_that_do_not_fit_are_refused():
    photograph = Photograph.of(picture("RGB"))
    for region in ((0, 0, H + 1, 1), (-1, 0, 1, 1), (H, 0, 1, 1), (0, W - 1, 1, 2)):
        with pytest.raises(ValueError, match="the region must lie within"):
            photograph.rgb(*region)
    with pytest.raises(ValueError, match="the region must lie within"):
        photograph.changed(np.ones((4, 4, 3)), H - 3, 0)
    with pytest.raises(ValueError, match=r"must be \(h, w, 3\)"):
        photograph.changed(np.ones((4, 4)), 0, 0)
    with pytest.raises(ValueError, match="finite"):
        photograph.changed(np.full((4, 4, 3), np.nan), 0, 0)


def test_what_pillow_only_reads_becomes_a_png(tmp_path):
    picture("RGB").save(tmp_path / "a.ppm")
    photograph = Photograph.read(tmp_path / "a.ppm")
    after = photograph.save(tmp_path / "b.ppm")
    assert photograph.suffix == ".png"
    np.testing.assert_array_equal(np.asarray(Image.open(after)), photograph.stored)


def test_the_suffixes_have_a_leading_dot_and_are_lower_case():
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in EXTENSIONS)


@pytest.mark.skipif(sys.platform != "linux", reason="resource counts in other units, or not at all")
def test_a_large_photograph_is_in_memory_once_beside_the_decoders_copy(tmp_path):
    # Pillow decodes RGB to 4 bytes a pixel, we keep 3; 64 MB are for bands and for what the allocator holds back
    paths = [tmp_path / "a.jpg", tmp_path / "a.png"]
    for path in paths:
        Image.new("RGB", (10_000, 6_000), (90, 120, 200)).save(
            path, **({"compress_level": 1} if path == paths[1] else {})
        )
    script = (
        "import resource, sys\n"
        "from dmt.data.photographs import Photograph\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        "for path in sys.argv[1:]:\n"
        "    photograph = Photograph.read(path)\n"
        "    stored = photograph.stored.nbytes\n"
        "    photograph.reduced(256)\n"
        "    del photograph\n"
        "print(peak() - before, stored)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True)
    used, stored = map(int, done.stdout.split())
    assert stored == 60_000_000 * 3
    assert used < 60_000_000 * (4 + 3) + 64 * 2**20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_as_png_is_upright_and_says_so(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).save(path, exif=exif_of(orientation), icc_profile=ICC)
    png = Photograph.read(path).as_png().save(tmp_path / "b.png")
    with Image.open(path) as before, Image.open(png) as after:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(ImageOps.exif_transpose(before)))
        assert after.getexif().get(0x0112, 1) == 1
        assert after.info["icc_profile"] == ICC
        assert TERM in after.info["xmp"].decode()


def test_as_png_keeps_what_png_can_hold(tmp_path):
    ink = np.random.default_rng(0).integers(0, 256, (H, W, 4), dtype=np.uint8)
    Image.fromarray(ink, "CMYK").save(tmp_path / "ink.tif")
    ink_photograph = Photograph.read(tmp_path / "ink.tif")
    png = ink_photograph.as_png().save(tmp_path / "ink.png")
    np.testing.assert_array_equal(np.asarray(Image.open(png)), ink_photograph.rgb())
    deep = np.random.default_rng(0).integers(0, 65536, (H, W, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    png = Photograph.read(tmp_path / "deep.tif").as_png().save(tmp_path / "deep.png")
    np.testing.assert_array_equal(cv2.imread(str(png), cv2.IMREAD_UNCHANGED)[..., ::-1], deep)
