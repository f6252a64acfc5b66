"""CSV and TSV as spreadsheets and corpora write them, and every way in which they can be wrong."""

from pathlib import Path
from typing import Any

import pytest

from .conversion import put, read, refusal


def test_csv_as_spreadsheets_write_it(folder: Path) -> None:
    source = folder / "m.csv"
    source.write_bytes(
        b"\xef\xbb\xbfpath,sentence,client_id,locale\r\n"
        b'a.wav,"He said ""NA"", then\r\nleft",c1,en\r\n'
        b"b.wav,null,,en\r\n"
    )
    columns = {"id": "path", "audio_filepath": "path", "text": "sentence", "speaker": "client_id",
               "source_lang": "locale",
               "target_lang": "locale"}  # fmt: skip
    (first, second), _ = read(source, columns=columns)
    assert (first.id, first.text, first.speaker) == ("a.wav", 'He said "NA", then\r\nleft', "c1")
    assert (second.text, second.speaker, second.duration) == ("null", None, 2.0)


def test_a_tsv_has_no_quotes(folder: Path) -> None:
    source = put(
        folder / "m.tsv",
        "id\taudio_filepath\ttext\tup_votes",
        '1\ta.wav\t"quoted" and " alone\t2',
        "2\tb.wav\tNA\t",
    )
    found, done = read(source, source_lang="en", target_lang="en", drop=frozenset({"up_votes"}))
    assert [one.text for one in found] == ['"quoted" and " alone', "NA"]
    assert done.dropped == {"up_votes": 1}


HEADER = "id,audio_filepath,duration,text,source_lang,target_lang"


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        (
            ["id,text"],
            1,
            "no column 'audio_filepath'; name the one that holds it with --column audio_filepath=NAME",
        ),
        ([HEADER + ",votes"], 1, "votes: columns that a manifest has no place for"),
        ([HEADER + ",id"], 1, "the column 'id' is there twice"),
        ([], 1, "no column 'id'"),
        ([HEADER, "u,a.wav,1"], 2, "3 cells; 6 were expected"),
        ([HEADER, "u,a.wav,1,x,es,en,"], 2, "7 cells"),
        ([HEADER, "", 'u,a.wav,1,"x', "", "y,es,en"], 3, "not CSV (unexpected end of data)"),
        ([HEADER, 'u,a.wav,1,"x" y,es,en'], 2, "not CSV"),
        ([HEADER, "u,a.wav,1,x\ry,es,en"], 2, "not CSV"),
        ([HEADER, 'u,a.wav,1,"x', 'y",es,en', "v,a.wav,one,x,es,en"], 4, "'duration' is 'one'; a number"),
        ([HEADER, 'u,a.wav,1,"x', b'\xff",es,en'], 2, "not UTF-8 (byte 1)"),
        ([HEADER, b"\xff,a.wav,1,x,es,en"], 2, "not UTF-8 (byte 1)"),
        ([HEADER, "u,a.wav,1,,es,en"], 2, "'text' is empty"),
        ([HEADER, "u,a.wav,nan,x,es,en"], 2, "'duration' is too large or no number"),
        ([HEADER, "u,../../etc/passwd,1,x,es,en"], 2, "leads out of"),
        (
            [HEADER, "u,a.wav,1,x,es,en", "v,b.wav,1,x,es,en", "u,b.wav,1,x,es,en"],
            4,
            "the id 'u' is that of line 2 too",
        ),
        ([HEADER, "u,a.wav,1," + "x" * 10_000_000 + ",es,en"], 2, "the line is longer than 1 MiB"),
        (
            [HEADER, "u,a.wav,1," + "x" * 200_000 + ",es,en"],
            2,
            "not CSV (field larger than field limit (131072))",
        ),
    ],
)
def test_bad_tables(folder: Path, lines: list[Any], place: int, what: str) -> None:
    source = put(folder / "m.csv", *lines)
    message = refusal(source)
    assert message.startswith(f"{source}:{place}: ")
    assert what in message


def test_rows_after_one_that_is_no_text_are_read(folder: Path) -> None:
    source = put(
        folder / "m.csv",
        HEADER,
        b"\xff,a.wav,1,x,es,en",
        "v,a.wav,1,x,es,en",
        "w" * 2_000_000,
        "x,a.wav,1,x,es,en",
    )
    found, done = read(source, skip_bad=True)
    assert [one.id for one in found] == ["v", "x"]
    assert [place for place, _ in done.bad] == [f"{source}:2", f"{source}:4"]


def test_a_column_map_that_is_wrong(folder: Path) -> None:
    source = put(folder / "m.csv", HEADER)
    assert "no column 'sentense'; there are id" in refusal(source, columns={"text": "sentense"})
    assert "'txt' is no field of a manifest" in refusal(source, columns={"txt": "text"})
