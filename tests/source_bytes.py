"""Rows as the bytes of source files of each kind."""

import csv
import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq


def to_csv(rows):
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def to_parquet(rows):
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def to_zst(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


def to_gz(data):
    return gzip.compress(data, mtime=0)
