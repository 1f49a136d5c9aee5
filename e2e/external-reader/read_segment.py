#!/usr/bin/env python3
"""Prints the records of a segment (.kfs) as JSON lines, or the entries of a segment index (.index).

Written from docs/reference/storage-format.md alone, with the standard library alone: nothing of KafScale is in here. It refuses
whatever is not as that page says. Keys and values are printed in base64.

    read_segment.py segment-00000000000000000000-….kfs
    read_segment.py --index segment-00000000000000000000-….index
"""
import base64
import gzip
import json
import struct
import sys


class FormatError(Exception):
    pass


def expect(found, wanted, what):
    if found != wanted:
        raise FormatError(f"{what}: {found!r} where {wanted!r} belongs")


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


CRC_TABLE = tuple(crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Bytes:
    """Reads forward through some bytes and never beyond their end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise FormatError(f"{count} bytes at {self.at} of {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise FormatError(f"an endless varint at {self.at}")

    def nullable(self):
        length = self.varint()
        return None if length == -1 else self.take(length)


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def read_batch(data, at):
    """The header fields that matter, the raw records, and where the batch ends."""
    if len(data) - at < 61:
        raise FormatError(f"a batch header is cut at {at}")
    base_offset, length, epoch, magic, crc = struct.unpack_from(">qiibI", data, at)
    attributes, last_delta, base_timestamp, max_timestamp = struct.unpack_from(">hiqq", data, at + 21)
    (count,) = struct.unpack_from(">i", data, at + 57)
    expect(magic, 2, f"magic of the batch at {at}")
    end = at + 12 + length
    if length < 49 or end > len(data):
        raise FormatError(f"the batch at {at} is {length} bytes long")
    expect(crc32c(data[at + 21 : end]), crc, f"CRC of the batch at {at}")
    codec = attributes & 7
    records = data[at + 61 : end]
    if codec == 1:
        records = gzip.decompress(records)
    elif codec != 0:
        raise FormatError(f"codec {codec} is not in Python's standard library")
    batch = {
        "baseOffset": base_offset,
        "lastOffset": base_offset + last_delta,
        "leaderEpoch": epoch,
        "baseTimestamp": base_timestamp,
        "logAppendTime": max_timestamp if attributes & 8 else None,
        "isControl": bool(attributes & 32),
        "count": count,
    }
    return batch, records, end


def read_records(batch, records):
    rest = Bytes(records)
    for _ in range(batch["count"]):
        record = Bytes(rest.take(rest.varint()))
        expect(record.take(1), b"\0", "attributes of a record")
        timestamp = batch["baseTimestamp"] + record.varint()
        offset = batch["baseOffset"] + record.varint()
        key, value = record.nullable(), record.nullable()
        headers = [[record.take(record.varint()).decode(), text(record.nullable())] for _ in range(record.varint())]
        expect(record.at, len(record.data), f"end of the record at offset {offset}")
        yield {
            "offset": offset,
            "timestamp": timestamp if batch["logAppendTime"] is None else batch["logAppendTime"],
            "leaderEpoch": batch["leaderEpoch"],
            "key": text(key),
            "value": text(value),
            "headers": headers,
        }
    expect(rest.at, len(rest.data), "end of the records")


def read_segment(data):
    if len(data) < 48:
        raise FormatError(f"{len(data)} bytes are no segment")
    magic, version, flags, base_offset, count, _created, reserved = struct.unpack_from(">4sHHqIqI", data)
    for found, wanted, what in ((magic, b"KAFS", "magic"), (version, 1, "version"), (flags, 0, "flags"), (reserved, 0, "reserved")):
        expect(found, wanted, what)
    crc, last_offset, end_magic = struct.unpack(">Iq4s", data[-16:])
    expect(end_magic, b"END!", "magic at the end")
    batches = data[32:-16]
    expect(crc32c(batches), crc, "CRC of the batches")
    at, next_offset, seen = 0, base_offset, 0
    while at < len(batches):
        batch, records, at = read_batch(batches, at)
        expect(batch["baseOffset"], next_offset, "base offset of a batch")
        next_offset = batch["lastOffset"] + 1
        seen += batch["count"]
        if not batch["isControl"]:
            yield from read_records(batch, records)
    expect(next_offset - 1, last_offset, "last offset")
    expect(seen, count, "message count")


def read_index(data):
    if len(data) < 16:
        raise FormatError(f"{len(data)} bytes are no index")
    magic, version, count, interval, reserved = struct.unpack_from(">4sHIIH", data)
    for found, wanted, what in ((magic, b"IDX\0", "magic"), (version, 1, "version"), (reserved, 0, "reserved")):
        expect(found, wanted, what)
    expect(len(data), 16 + 12 * count, "size of the index")
    for offset, position in struct.iter_unpack(">qI", data[16:]):
        yield {"offset": offset, "position": position, "interval": interval}


def main(arguments):
    is_index = arguments[:1] == ["--index"]
    for path in arguments[is_index:]:
        with open(path, "rb") as file:
            data = file.read()
        for line in (read_index if is_index else read_segment)(data):
            print(json.dumps(line))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FormatError as error:
        sys.exit(f"read_segment.py: {error}")
