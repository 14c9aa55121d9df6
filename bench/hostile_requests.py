"""Requests that cost more than they look, and the images in them."""
import base64
import itertools
import json
import pathlib
import struct
import zlib

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATH = "/classifier/predictions"
MIB = 2**20

# The side of a square of as many pixels as a worker takes in one image, and as few less as fit ten into a request.
SIDE = 7_999


def request(key, body, kind="application/json", query="", **fields):
    """The bytes of a request as they go over the wire."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    head = (f"POST {PATH}{query} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\nContent-Type: {kind}\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def as_json(key, images, query="", **fields):
    body = {"images": [{"image_id": n, "img_base64": base64.b64encode(image).decode()}
                       for n, image in enumerate(images)]}
    return request(key, json.dumps(body).encode(), query=query, **fields)


def as_form(key, images, **fields):
    boundary = b"hostile"
    parts = [b"--" + boundary + b'\r\nContent-Disposition: form-data; name="images"; filename="%d.bin"\r\n\r\n' % n
             + image + b"\r\n" for n, image in enumerate(images)]
    body = b"".join(parts) + b"--" + boundary + b"--\r\n"
    return request(key, body, f"multipart/form-data; boundary={boundary.decode()}", **fields)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(side):
    """A black one, whose bytes are a thousandth of its pixels."""
    rows = zlib.compress(bytes((side + 1) * side), 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def padded_png(size):
    """A sound one of this many bytes, most of them in a chunk that decoders skip."""
    whole = png(64)
    head, end = whole[:-12], whole[-12:]
    return head + chunk(b"paDd", bytes(size - len(whole) - 12)) + end


def padded_jpeg(size):
    """A sound one of this many bytes, most of them in comments."""
    photograph = (ROOT / "worker" / "benches" / "photograph.jpg").read_bytes()
    room, comments = size - len(photograph), []
    while room > 4:
        length = min(room - 2, 65_535)
        comments.append(b"\xff\xfe" + struct.pack(">H", length) + bytes(length - 2))
        room -= length + 2
    return photograph[:2] + b"".join(comments) + photograph[2:]


def bmp_of_run_lengths(side=8_000):
    """60 bytes that announce `side` times `side` pixels, and say that all of them are left out."""
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 2, 0, 0, 1, 0)
    return b"BM" + struct.pack("<IHHI", 60, 0, 0, 58) + header + bytes(4) + b"\x00\x01"


def tiff(compression, data, strips=32_768):
    """So many strips of a pixel, all over the same bytes."""
    tags = [(256, [1]), (257, [strips]), (258, [8]), (259, [compression]), (262, [1]), (273, [8] * strips),
            (277, [1]), (278, [1]), (279, [len(data)] * strips)]
    directory = 8 + len(data)
    extra_at, entries, extra = directory + 2 + 12 * len(tags) + 4, b"", b""
    for tag, values in tags:
        packed = struct.pack(f"<{len(values)}I", *values)
        entries += struct.pack("<HHI", tag, 4, len(values))
        entries += packed if len(packed) == 4 else struct.pack("<I", extra_at + len(extra))
        extra += packed if len(packed) > 4 else b""
    return b"II*\0" + struct.pack("<I", directory) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + extra


def tiffs():
    """One for each compression, of strips that say nothing again and again, and then a pixel."""
    codes = np.unpackbits(np.frombuffer(b"\x80", "u1"))
    clear, end = np.append(codes, 0).astype("u1"), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    lzw = np.packbits(np.concatenate([np.tile(clear, 88_000), np.array(end, "u1")])).tobytes()
    deflate = b"\x78\x01" + b"\0\0\0\xff\xff" * 20_000 + b"\x01\x01\0\xfe\xff\x07\0\x08\0\x08"
    pixel = cv2.imencode(".jpg", np.zeros((1, 1), "u1"))[1].tobytes()
    jpeg = pixel[:2] + b"\xff\xfe\xff\xff" + bytes(65_533) + pixel[2:]
    return [tiff(32_773, b"\x80" * 100_000 + b"\0\0"), tiff(5, lzw), tiff(8, deflate), tiff(7, jpeg)]


def large_images():
    """One a format, of as many pixels as a worker takes and few bytes."""
    black = np.zeros((SIDE, SIDE, 3), "u1")
    return [png(SIDE), cv2.imencode(".webp", black)[1].tobytes(),
            cv2.imencode(".jpg", black[:, :, 0])[1].tobytes()]


def of_ten_mebibytes(key):
    images = [padded_png(10 * MIB), padded_jpeg(10 * MIB)]
    quarters = [padded_png(5 * MIB // 2), padded_jpeg(5 * MIB // 2)] * 2
    return [request(key, images[0], "image/png"), as_form(key, quarters), as_json(key, images[:1]),
            request(key, images[1], "image/jpeg"), as_form(key, images[1:]), as_json(key, quarters)]


def of_run_lengths(key):
    return [as_json(key, [bmp_of_run_lengths()] * 1_024)]


def of_run_lengths_within_the_bound(key):
    """Ten such images are as many pixels as a request may have."""
    return [as_json(key, [bmp_of_run_lengths(SIDE)] * 10)]


def of_many_pixels(key, **fields):
    return [as_form(key, list(itertools.islice(itertools.cycle([image]), 10)), **fields) for image in large_images()]


def of_many_pixels_that_nobody_waits_for(key):
    return of_many_pixels(key, Prefer="respond-async")


def of_strips(key):
    one_each = tiffs()
    return [as_form(key, [file]) for file in one_each] + [as_form(key, one_each * 4)]


def of_bad_images(key):
    return [as_json(key, [b"x"] * 1_024), as_json(key, [b"x"] * 1_023 + [png(8)])]


def of_many_labels(key):
    """As many scores as labels: once far more than an answer may hold, and once as much."""
    image = png(8)
    return [as_json(key, [image] * count, query="?top_k=20000") for count in (256, 24)]
