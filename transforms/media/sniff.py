"""What the first bytes of a file say about it, without starting a decoder."""

from typing import Final

_FILMS = "mp4 m4v mov qt mkv webm avi ts m2ts mts mpg mpeg vob flv f4v wmv asf ogv ogm 3gp 3g2 mxf rm rmvb dv ivf m4s"
_SOUNDS = "wav w64 mp3 m4a m4b aac flac ogg oga opus wma aiff aif au caf ac3 eac3 dts amr ape wv tta mka mp2 sph"
_PICTURES = "png apng jpg jpeg jpe jfif gif bmp webp tif tiff jp2 jxl ppm pgm pbm avif qoi psd"

#: Suffixes, with their dot and in lower case, that promise media inside.
MEDIA_SUFFIXES: Final = frozenset(f".{suffix}" for suffix in f"{_FILMS} {_SOUNDS} {_PICTURES}".split())

_MEDIA_MAGIC: Final = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"OggS",
    b"fLaC",
    b"FLV\x01",
    b"ID3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"#!AMR",
    b"caff\x00\x01",
    b".snd",
    b"DKIF",
    b"NIST_1A",
    b".RMF",
    b"wvpk",
    b"TTA1",
    b"MAC ",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",  # MXF
    b"\x00\x00\x00\x0cJXL ",
    b"\x00\x00\x00\x0cjP  ",
    b"riff\x2e\x91\xcf\x11",  # Wave64
    b"\x7f\xfe\x80\x01",  # DTS
    b"8BPS",
    b"qoif",
    b"nut/multimedia container\x00",
)

_OTHER_MAGIC: Final = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"%PDF",
    b"\x7fELF",
    b"MZ",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"7z\xbc\xaf\x27\x1c",
    b"\x28\xb5\x2f\xfd",
    b"Rar!\x1a\x07",
    b"SQLite format 3\x00",
    b"PAR1",
    b"\xca\xfe\xba\xbe",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"wOFF",
    b"wOF2",
    b"\x93NUMPY",
)

_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof", b"emsg")
_TS_PACKET_BYTES: Final = (188, 192, 204)


def looks_like_media(head: bytes) -> bool | None:
    """Whether a file that starts with `head` (4 KB) holds media: True, False, or None where the bytes do not tell."""
    if not head:
        return False
    if head.startswith(_MEDIA_MAGIC) or _is_riff(head) or head[4:8] in _BOXES or _is_transport_stream(head):
        return True
    if head.startswith(_OTHER_MAGIC) or _is_text(head):
        return False
    return None


def _is_riff(head: bytes) -> bool:
    if head.startswith(b"FORM"):
        return head[8:12] in (b"AIFF", b"AIFC")
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] in (b"WAVE", b"AVI ", b"WEBP", b"AVIX")


def _is_transport_stream(head: bytes) -> bool:
    for size in _TS_PACKET_BYTES:
        first = 4 if size == 192 else 0  # a time code precedes each packet of Blu-ray's form
        marks = head[first::size]
        if len(marks) >= 3 and set(marks) == {0x47}:
            return True
    return False


def _is_text(head: bytes) -> bool:
    """Printable UTF-8, or UTF-16 with its mark; a character may be cut at the end."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) >= 4:
        return 0 in head[2:4]
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and error.reason == "unexpected end of data"
    return True
