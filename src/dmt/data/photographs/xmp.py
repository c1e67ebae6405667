"""XMP packets: what a photograph's file says of how it was made."""

import re
from xml.sax.saxutils import quoteattr

COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def packet_of(info: dict) -> bytes:
    """The packet that Pillow has found, or none."""
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return packet.encode("utf-8", "surrogateescape") if isinstance(packet, str) else bytes(packet)


def with_note(packet: bytes) -> bytes:
    """An XMP packet, or none -> the same that says that the picture was altered with a generative model.

    The IPTC term is set (one that was there is replaced, since a picture has one), and ``xmp:CreatorTool`` and
    ``photoshop:History`` where there are none. All else stays as it is.
    """
    text = packet.decode("utf-8", "surrogateescape")
    ends = list(re.finditer(r"</([\w.-]+):RDF\s*>", text))
    if not ends:
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f"{_description('rdf', '', '')}</rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
        ).encode()
    end = ends[-1]
    before, after = text[: end.start()], text[end.start() :]
    before = re.sub(r"<([\w.-]+:DigitalSourceType)\b(?:[^>]*/>|.*?</\1\s*>)", "", before, flags=re.DOTALL)
    before = re.sub(r"""\s[\w.-]+:DigitalSourceType\s*=\s*("[^"]*"|'[^']*')""", "", before)
    about = re.search(rf"""\b{end[1]}:about\s*=\s*["']([^"'<>]*)["']""", before)
    merged = before + _description(end[1], about[1] if about else "", before) + after
    return merged.encode("utf-8", "surrogateescape")


def _description(rdf: str, about: str, known: str) -> str:
    tool = "" if ":CreatorTool" in known else ' xmp:CreatorTool="dmt"'
    history = "" if "photoshop:History" in known else ' photoshop:History="altered with dmt"'
    return (
        f'<{rdf}:Description {rdf}:about="{about}" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"Iptc4xmpExt:DigitalSourceType={quoteattr(COMPOSITE)}{tool}{history}/>"
    )
