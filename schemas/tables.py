"""Arrow schemas of the Parquet files of a run (DESIGN 3)."""

from __future__ import annotations

import pyarrow as pa

PII_KINDS = ("email", "ip", "phone", "credit_card", "iban", "name")
"""Every kind that stages.pii can count; columns of the `pii` struct."""

PII_TYPE = pa.struct([(kind, pa.int32()) for kind in PII_KINDS])
SIGNALS_TYPE = pa.map_(pa.string(), pa.float32())

DOCUMENT_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("date", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("source", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("warc_length", pa.int64()),
        ("mime", pa.string()),
        ("charset", pa.string()),
        ("extractor", pa.string()),
        ("n_chars", pa.int32()),
        ("n_words", pa.int32()),
        ("content_hash", pa.string()),
        ("cluster_id", pa.string()),
        ("cluster_size", pa.int32()),
        ("pii", PII_TYPE),
        ("signals", SIGNALS_TYPE),
        ("recipe_hash", pa.string()),
        ("split", pa.string()),
    ],
    metadata={b"corpusmill.schema": b"DocumentV1"},
)

REJECTED_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("rule_version", pa.int32()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("detail", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
    ],
    metadata={b"corpusmill.schema": b"RejectedV1"},
)

REJECTED_TEXT_CHARS = 500

VERDICT_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("rule_version", pa.int32()),
        ("detail", pa.string()),
    ],
    metadata={b"corpusmill.schema": b"VerdictV1"},
)
"""What the recipe of an annotated run says of each of its documents; null where it keeps."""

GATE_TYPE = pa.struct([("characters", pa.int64()), ("middle", pa.string()), ("start", pa.string())])

ANNOTATED_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("date", pa.string()),
        ("source", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("warc_length", pa.int64()),
        ("mime", pa.string()),
        ("charset", pa.string()),
        ("extractor", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float64()),
        ("n_words", pa.int32()),
        ("signals", pa.map_(pa.string(), pa.float64())),
        ("gate", GATE_TYPE),
        ("error", pa.string()),
        ("detail", pa.string()),
    ],
    metadata={b"corpusmill.schema": b"AnnotatedV1"},
)
"""What `decide` reads of every page that came as far as its URL: text before edits, blank where
there was none, and numbers in full precision, so that thresholds fall as they do in curate.
`error` and `detail` are set where extraction failed."""

ERROR_V1 = pa.schema(
    [
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("stage", pa.string()),
        ("error", pa.string()),
        ("detail", pa.string()),
        ("url", pa.string()),
    ],
    metadata={b"corpusmill.schema": b"ErrorV1"},
)

CLUSTER_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("cluster_id", pa.string()),
        ("cluster_size", pa.int32()),
        ("method", pa.string()),
        ("kept", pa.bool_()),
        ("segment", pa.string()),
        ("row", pa.int32()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
    ],
    metadata={b"corpusmill.schema": b"ClusterV1"},
)

KEY_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("segment", pa.string()),
        ("row", pa.int32()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("date", pa.string()),
        ("n_chars", pa.int32()),
        ("language_score", pa.float32()),
        ("url_key", pa.uint64()),
        ("content_hash", pa.string()),
        ("bands", pa.binary()),
    ],
    metadata={b"corpusmill.schema": b"KeyV1"},
)
"""What phase 2 reads of a kept document: ids and hashes, never text (DESIGN 2.4).
`segment` names the phase-1 output and `row` the document's position in it: together they are
unique even when the same record is read twice."""

SHARD_DOC_V1 = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("shard", pa.int32()),
        ("position", pa.int32()),
        ("tokens", pa.int32()),
        ("url", pa.string()),
        ("language", pa.string()),
        ("source", pa.string()),
        ("quality_bucket", pa.int32()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
    ],
    metadata={b"corpusmill.schema": b"ShardDocV1"},
)
