"""ICC profiles of the colours that PNG files name by numbers, for formats without such names."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import numpy as np

# ITU-T H.273: x and y of white, red, green and blue.
_BT709 = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_PRIMARIES = {
    1: _BT709,
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
# Light is (a * value + b) ** gamma from d on, and c * value below: gamma, a, b, c, d.
_SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES = {1: _VIDEO, 6: _VIDEO, 8: (1, 1, 0, 0, 0), 13: _SRGB, 14: _VIDEO, 15: _VIDEO}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[895.1, 266.4, -161.4], [-750.2, 1713.5, 36.7], [38.9, -68.5, 1029.6]])


def profile_of(chunks: Mapping[bytes, bytes], is_grey: bool) -> bytes | None:
    """Return the ICC profile of colours, given by a PNG file's chunks cICP, gAMA, cHRM and sRGB.

    Returns:
        Empty for sRGB, which needs none; None for damaged ones and others, such as those of HDR.
    """
    primaries: tuple[float, ...] = _BT709
    curve: tuple[float, ...] = _SRGB
    try:
        if b"cICP" in chunks:
            primaries, curve = _PRIMARIES[chunks[b"cICP"][0]], _CURVES[chunks[b"cICP"][1]]
        elif b"sRGB" not in chunks:
            (gamma,) = struct.unpack(">I", chunks.get(b"gAMA", _fixed([45455 / 65536])))
            curve = _SRGB if gamma == 45455 else (100_000 / gamma, 1, 0, 0, 0)
            if b"cHRM" in chunks:
                primaries = tuple(n / 100_000 for n in struct.unpack(">8I", chunks[b"cHRM"]))
        is_plain = (primaries, curve) == (_BT709, _SRGB)
        return b"" if is_plain else _profile(primaries, curve, is_grey)
    except (LookupError, ArithmeticError, ValueError, struct.error):
        return None


def _profile(primaries: tuple[float, ...], curve: tuple[float, ...], is_grey: bool) -> bytes:
    points = zip(primaries[::2], primaries[1::2], strict=True)
    white, *colours = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    columns = np.stack(colours, axis=1)
    matrix = adapted @ (columns * np.linalg.solve(columns, white))
    name = struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", 6, 28) + "PNG".encode("utf-16-be")
    light = b"para" + struct.pack(">4xHH", 3, 0) + _fixed(curve)
    xyz = b"XYZ \0\0\0\0"
    tags = {b"desc": name, b"cprt": name, b"wtpt": xyz + _fixed(_D50)}
    tags[b"chad"] = b"sf32\0\0\0\0" + _fixed(adapted.ravel())
    if is_grey:
        tags[b"kTRC"] = light
    else:
        tags |= {b"rXYZ": xyz + _fixed(matrix[:, 0]), b"rTRC": light}
        tags |= {b"gXYZ": xyz + _fixed(matrix[:, 1]), b"gTRC": light}
        tags |= {b"bXYZ": xyz + _fixed(matrix[:, 2]), b"bTRC": light}
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, start + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    version, kind = b"\4\x40\0\0", b"mntrGRAYXYZ " if is_grey else b"mntrRGB XYZ "
    head = struct.pack(">I4x4s12sHHH6x4s28x", start + len(data), version, kind, 2000, 1, 1, b"acsp")
    return (head + _fixed(_D50)).ljust(128, b"\0") + table + data


def _fixed(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * value)) for value in values)
