"""Removes an ELF file's library search path (DT_RPATH, DT_RUNPATH)."""

import struct

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_STRTAB, DT_RPATH, DT_RUNPATH = 0, 5, 15, 29


def without_search_path(content):
    """The same file, 64 bits and little-endian, whose loader asks only the environment and the system."""
    if content[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not an ELF file of 64 bits, little-endian")
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    # Of each program header: kind, place in the file, address, bytes in the file.
    headers = [struct.unpack_from("<I4xQQ8xQ", content, offset + i * size) for i in range(count)]
    _, start, _, length = next(header for header in headers if header[0] == PT_DYNAMIC)
    entries = list(struct.iter_unpack("<QQ", content[start : start + length]))
    kept = [entry for entry in entries if entry[0] not in (DT_RPATH, DT_RUNPATH)]
    kept += [(DT_NULL, 0)] * (len(entries) - len(kept))

    result = bytearray(content)
    result[start : start + length] = b"".join(struct.pack("<QQ", *entry) for entry in kept)
    # The text of the path stays behind in the table of strings: blank it, it names folders of the builder's.
    table = dict(entries)[DT_STRTAB]
    loaded = (header for header in headers if header[0] == PT_LOAD and header[2] <= table < header[2] + header[3])
    _, at, address, _ = next(loaded)
    place = at + table - address
    for tag, text in entries:
        if tag in (DT_RPATH, DT_RUNPATH):
            end = content.index(b"\0", place + text)
            result[place + text : end] = bytes(end - place - text)
    return bytes(result)
