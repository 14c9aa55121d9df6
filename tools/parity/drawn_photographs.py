"""Photographs that nobody took: gradients, textures, grain, edges and letters, drawn from a seed.

`draw` writes 50 of them in the formats, depths and colour types that cameras, scanners and editors write.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

ORIENTATION = 0x0112


def draw(folder, seed):
    """The files, in order. The same seed draws the same photographs."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    files = []
    for index, (name, write) in enumerate(KINDS):
        height, width = SIZES[index % len(SIZES)]
        path = folder / f"{index:02}_{name}"
        path.write_bytes(write(picture(random, height, width)))
        files.append(path)
    return files


# Smaller and larger than a model's input, odd and even, tall and wide.
SIZES = [
    (480, 640), (333, 501), (96, 128), (61, 47), (24, 31), (300, 101), (57, 399), (224, 224), (40, 56), (701, 467), (18, 200),
    (129, 130), (512, 77),
]


def picture(random, height, width):
    """RGB, uint8: what differs most from one to the next is the large, as in photographs."""
    canvas = gradient(random, height, width)
    for _ in range(int(random.integers(1, 4))):
        layer = PARTS[int(random.integers(len(PARTS)))](random, height, width)
        share = random.uniform(0.3, 0.9)
        canvas = (1 - share) * canvas + share * layer
    canvas += random.normal(0, random.uniform(0, 6), canvas.shape)
    drawn = Image.fromarray(np.clip(np.round(canvas), 0, 255).astype(np.uint8))
    letters(random, drawn)
    if random.random() < 0.3:
        drawn = drawn.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 2)))
    return drawn


def grid(height, width):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return (y / max(height - 1, 1))[..., None], (x / max(width - 1, 1))[..., None]


def color(random):
    return random.uniform(0, 255, 3)


def gradient(random, height, width):
    y, x = grid(height, width)
    corners = [color(random) for _ in range(4)]
    return (corners[0] * (1 - y) + corners[1] * y) * (1 - x) + (corners[2] * (1 - y) + corners[3] * y) * x


def blobs(random, height, width):
    """Smooth shapes of any size."""
    side = int(random.integers(2, 9))
    small = Image.fromarray(random.integers(0, 256, (side, side + 1, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def waves(random, height, width):
    """Stripes of any direction, and finer than a small image can show."""
    y, x = grid(height, width)
    phase = random.uniform(3, 90) * x + random.uniform(3, 90) * y
    share = 0.5 + 0.5 * np.sin(phase + random.uniform(0, 6, 3))
    return color(random) * share + color(random) * (1 - share)


def grain(random, height, width):
    return random.integers(0, 256, (height, width, 3)).astype(np.float64)


def edges(random, height, width):
    """Half planes and discs."""
    y, x = grid(height, width)
    layer = np.broadcast_to(color(random), (height, width, 3)).copy()
    for _ in range(5):
        a, b, c = random.normal(0, 1, 3)
        inside = (a * (x - 0.5) + b * (y - 0.5) > 0.3 * c)[..., 0]
        layer[inside] = 0.5 * layer[inside] + 0.5 * color(random)
        radius = random.uniform(0.05, 0.3)
        disc = ((x - random.uniform()) ** 2 + (y - random.uniform()) ** 2 < radius**2)[..., 0]
        layer[disc] = color(random)
    return layer


PARTS = [blobs, waves, grain, edges]


def letters(random, image):
    pen = ImageDraw.Draw(image)
    for _ in range(int(random.integers(0, 6))):
        at = (int(random.integers(image.width)), int(random.integers(image.height)))
        text = "".join(chr(int(code)) for code in random.integers(33, 127, 12))
        pen.text(at, text, fill=tuple(map(int, color(random))), font_size=int(random.integers(8, 40)))


def file_of(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def jpeg(quality, subsampling="4:2:0", mode="RGB", orientation=None, **options):
    def write(image):
        image = image.convert(mode)
        if orientation:
            tags = image.getexif()
            tags[ORIENTATION] = orientation
            options["exif"] = tags
        sampling = {} if mode == "L" or subsampling is None else {"subsampling": subsampling}
        return file_of(image, "JPEG", quality=quality, **sampling, **options)

    return write


def converted(format, mode, **options):
    return lambda image: file_of(image.convert(mode), format, **options)


def oriented(format, orientation, **options):
    def write(image):
        tags = image.getexif()
        tags[ORIENTATION] = orientation
        return file_of(image, format, exif=tags, **options)

    return write


def with_alpha(format, mode="RGBA", **options):
    """Alpha that says something of its own, nothing to everything."""
    def write(image):
        image = image.convert(mode)
        alpha = image.convert("L").transpose(Image.Transpose.ROTATE_180).point(lambda level: min(255, 2 * level))
        image.putalpha(alpha)
        return file_of(image, format, **options)

    return write


def palette(format, colors, transparent=False, **options):
    def write(image):
        image = image.quantize(colors)
        return file_of(image, format, **({"transparency": 1} if transparent else {}), **options)

    return write


def wide_grey(format, dark=False):
    """16 bits: the whole range, or a sensor's lowest levels."""
    def write(image):
        levels = np.asarray(image.convert("L"), np.uint16)
        return file_of(Image.fromarray(levels if dark else levels * 257 ^ 37), format)

    return write


def wide_color(ending):
    def write(image):
        import cv2

        levels = np.asarray(image, np.uint16)[..., ::-1] * 257 ^ 37
        done, coded = cv2.imencode(ending, levels)
        assert done, ending
        return coded.tobytes()

    return write


def opencv_jpeg(setting, value):
    """With one of OpenCV's settings, by its name behind `IMWRITE_JPEG_`."""
    def write(image):
        import cv2

        settings = [getattr(cv2, f"IMWRITE_JPEG_{setting}"), value]
        done, coded = cv2.imencode(".jpg", np.asarray(image)[..., ::-1], settings)
        assert done
        return coded.tobytes()

    return write


def animated(format, **options):
    def write(image):
        second = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return file_of(image, format, save_all=True, append_images=[second], duration=80, **options)

    return write


# The name that each has, its ending, and what writes it: 50.
KINDS = [
    ("camera.jpg", jpeg(92)), ("best.jpg", jpeg(100, "4:4:4")), ("web.jpg", jpeg(75)), ("poor.jpg", jpeg(25)),
    ("wide_chroma.jpg", jpeg(85, "4:2:2")), ("progressive.jpg", jpeg(80, progressive=True)),
    ("progressive_full.jpg", jpeg(90, "4:4:4", progressive=True, optimize=True)), ("grey.jpg", jpeg(90, mode="L")),
    ("grey_progressive.jpg", jpeg(70, mode="L", progressive=True)), ("inks.jpg", jpeg(92, mode="CMYK")),
    ("inks_halved.jpg", jpeg(80, "4:2:0", mode="CMYK", progressive=True)), ("as_rgb.jpg", jpeg(90, None, keep_rgb=True)),
    ("turned_3.jpg", jpeg(88, orientation=3)), ("turned_6.jpg", jpeg(88, orientation=6)),
    ("turned_8.jpg", jpeg(88, "4:2:2", orientation=8)), ("mirrored_2.jpg", jpeg(88, orientation=2)),
    ("mirrored_5.jpg", jpeg(88, "4:4:4", orientation=5)), ("restarts.jpg", opencv_jpeg("RST_INTERVAL", 3)),
    ("tall_chroma.jpg", opencv_jpeg("SAMPLING_FACTOR", 0x121111)),
    ("quarter_chroma.jpg", opencv_jpeg("SAMPLING_FACTOR", 0x411111)),
    ("rgb.png", converted("PNG", "RGB")), ("grey.png", converted("PNG", "L")), ("bilevel.png", converted("PNG", "1")),
    ("alpha.png", with_alpha("PNG")), ("grey_alpha.png", with_alpha("PNG", "LA")), ("palette.png", palette("PNG", 200)),
    ("palette_16.png", palette("PNG", 16)), ("palette_4.png", palette("PNG", 4)),
    ("palette_transparent.png", palette("PNG", 60, transparent=True)), ("grey_16.png", wide_grey("PNG")),
    ("palette_2.png", palette("PNG", 2)), ("rgb_16.png", wide_color(".png")), ("turned_6.png", oriented("PNG", 6)),
    ("animated.png", animated("PNG")),
    ("rgb.bmp", converted("BMP", "RGB")), ("grey.bmp", converted("BMP", "L")), ("palette.bmp", palette("BMP", 90)),
    ("alpha.bmp", with_alpha("BMP")),
    ("plain.gif", palette("GIF", 128)), ("transparent.gif", palette("GIF", 50, transparent=True)), ("animated.gif", animated("GIF")),
    ("lossy.webp", converted("WEBP", "RGB", quality=80)), ("lossless.webp", converted("WEBP", "RGB", lossless=True)),
    ("alpha.webp", with_alpha("WEBP", quality=85)), ("turned_8.webp", oriented("WEBP", 8, lossless=True)),
    ("rgb.tif", converted("TIFF", "RGB")), ("alpha_lzw.tif", with_alpha("TIFF", compression="tiff_lzw")),
    ("grey_16_dark.tif", wide_grey("TIFF", dark=True)), ("rgb_16.tif", wide_color(".tiff")),
    ("turned_6.tif", oriented("TIFF", 6, compression="tiff_adobe_deflate")),
]
assert len(KINDS) == 50, len(KINDS)
