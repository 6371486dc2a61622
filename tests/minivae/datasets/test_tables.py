"""Tables as people have them: read as their writer meant, or refused by a line that names the option to settle it."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import tables
from benchmarks.tables import all_rows
from minivae.datasets import load_dataset

from . import file_bytes
from .file_bytes import assert_time_grows_with_the_file, idx, npy, npz

ROWS = [(0.1, 0.2, 0.3), (0.4, 0.5, 0.6), (0.7, 0.8, 0.9), (0.2, 0.2, 0.2)]
PLAIN = "\n".join(",".join(map(str, row)) for row in ROWS)
COUNTED = "\n".join(f"{number},{line}" for number, line in enumerate(PLAIN.split("\n")))
COMMAS = PLAIN.replace(",", ";").replace(".", ",")
BOM = b"\xef\xbb\xbf"


def load(tmp_path, content, name="mine.csv", **options):
    content = content if isinstance(content, bytes) else content.encode()
    return file_bytes.load(tmp_path, content, name, **options)


CHOICES = st.fixed_dictionaries({key: st.sampled_from(options) for key, options in tables.CHOICES.items()})


@given(choice=CHOICES)
@settings(max_examples=200)
def test_tables_in_many_dialects_against_pandas(choice, tmp_path_factory):
    tables.judge(tmp_path_factory.getbasetemp() / "table.csv", choice)


def quoted(text):
    return "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in text.split("\n"))


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("gb18030", "花萼长,花萼宽,花㐀"),  # of four bytes is the last
        ("gbk", "花萼长,花萼宽,花瓣长"),
        ("big5", "花萼長,花萼寬,花瓣長"),
        ("cp932", "長さ,幅,高さ"),
        ("euc_jp", "長さ,幅,高さ"),
        ("cp949", "길이,너비,높이"),
        ("cp1252", "Länge,b °C,Höhe"),
        ("cp1250", "długość,szerokość,wysokość"),
        ("cp1251", "длина,ширина,высота"),
        ("mac_roman", "Länge,Breite,Höhe"),
    ],
)
def test_text_that_may_be_in_several_encodings(encoding, names, tmp_path):
    """Is refused with how it reads in each; that decides about names and labels only."""
    table = f"{names},kind\n" + "".join(f"{row},{names[:2]}{i % 2}\n" for i, row in enumerate(PLAIN.split()))
    first = names.split(",")[0]
    known = "gb18030" if encoding == "gbk" else encoding
    with pytest.raises(ValueError, match=f"mine.csv: line 1: got .*UTF-8', .* encoding= .*{known} reads '{first}'"):
        load(tmp_path, table.encode(encoding), label="kind")
    for written in (encoding, "utf-8", "utf-8-sig", "utf-16", "utf-32"):
        data = load(tmp_path, table.encode(written), label="kind", encoding=encoding if written == encoding else None)
        assert data.columns == tuple(names.split(","))
        assert data.classes == (f"{names[:2]}0", f"{names[:2]}1")
        assert data.features == 3
    with pytest.raises(ValueError, match=r"mine.csv: line 1: got 'bytes that are not ASCII', expected encoding="):
        load(tmp_path, table.encode(encoding), label="kind", encoding="ascii")


def test_bytes_far_down_in_a_table(tmp_path):
    """Behind all that was looked at before."""
    table = "a,kind\n" + "0.5,x\n" * 40_000 + "0.5,é\n"
    with pytest.raises(ValueError, match=r"line 40002: got .*: cp1252 reads 'é', cp1251 reads 'й', mac_roman reads"):
        load(tmp_path, table.encode("cp1252"), label="kind")
    assert load(tmp_path, table.encode("cp1252"), label="kind", encoding="cp1252").classes == ("x", "é")
    with pytest.raises(
        ValueError, match=r"encoding: got 'gbk', expected none for mine.csv, which has the mark of UTF-8"
    ):
        load(tmp_path, BOM + table.encode(), label="kind", encoding="gbk")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN, "fields separated by ',', no names; 3 features; no labels"),
        ("a,b,c\r\n" + PLAIN.replace("\n", "\r\n"), "names in line 1; 3 features 'a', 'b', 'c'; no labels"),
        (BOM + PLAIN.encode(), "no names"),
        (("a,b,c\n" + PLAIN).encode("utf-16"), "names in line 1"),
        (PLAIN.replace(",", ";"), "separated by ';', no"),
        (PLAIN.replace(",", "\t"), r"separated by '\t', no"),
        (PLAIN.replace(",", "|"), r"separated by '|', no"),
        (PLAIN.replace(",", "   ").replace("\n", " \n "), "separated by ' ', no"),
        (COMMAS, "separated by ';' with decimal commas, no"),
        (quoted(PLAIN), "no names"),
        ('"0,1","0,2","0,3"\n"0,4","0,5","0,6"\n"0,7","0,8","0,9"\n"0,2","0,2","0,2"', "',' with decimal commas"),
        (PLAIN.replace("\n", "\r"), "no names"),
        (",a,b,c\n" + COUNTED, "3 features 'a', 'b', 'c'; left out '' (names of the rows)"),
        ("Unnamed: 0,a,b,c\n" + COUNTED, "left out 'Unnamed: 0' (names of the rows)"),
        (",0,1,2\n" + COUNTED, "3 features '0', '1', '2'; left out ''"),
        ('"a","b","c"\n' + "row" + COUNTED.replace("\n", "\nrow"), "left out '' (names of the rows)"),
        (PLAIN.replace("\n", ",\n") + ",", "3 features"),
        ("a,b,c,,\n" + PLAIN.replace("\n", ",,\n") + ",,", "names in line 1; 3 features"),
        ("# made by me, in May\n" + PLAIN, "no names"),
        ("# a,b,c\n" + PLAIN, "names in a comment; 3 features 'a', 'b', 'c'"),
        ("a,b,c\n# units: m, s, kg, K\n" + PLAIN + "\n# end", "3 features"),
        ('"a,x","b","c"\n' + PLAIN, "3 features 'a,x', 'b', 'c'"),
        ('"a\nx","b","c"\n' + PLAIN, "3 features"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "separated by ';', no names"),
        (PLAIN + "\n\n \n", "no names"),
        (PLAIN + "\n\x1a", "no names"),
        (PLAIN + "\x1a", "no names"),
        (gzip.compress(PLAIN.encode()), "no names"),
    ],
)
def test_reads(content, said, tmp_path):
    data = load(tmp_path, content, "mine.csv.gz" if content[:2] == b"\x1f\x8b" else "mine.csv")
    np.testing.assert_array_equal(all_rows(data), tables.rows_of(np.array(ROWS), None))
    assert said in data.source


@pytest.mark.parametrize(
    ("content", "rows", "labels"),
    [
        (BOM + b"label,b\n1,2.5\n2,3.5\n", [[2.5], [3.5]], [1, 2]),
        (b"a, Label \n0.5,2.0\n1.5,3.0\n", [[0.5], [1.5]], [2, 3]),
        (b"label,0,1\n4,0.5,7\n5,1.5,8\n", [[0.5, 7], [1.5, 8]], [4, 5]),
        (b"a,b\nTrue,5\nFalse,3\n", [[1, 5], [0, 3]], None),
        ("a,b\n\u22121,2\n3,4\n".encode(), [[-1, 2], [3, 4]], None),
        (b"a,class\n5,0.5\n7,1\n", [[5, 0.5], [7, 1]], None),
        (b"x,y\n5,0\n7,1\n", [[5, 0], [7, 1]], None),
        (b"a;b\n-1,5;1E3\n+.5;2,\n".replace(b".", b","), [[-1.5, 1000], [0.5, 2]], None),
        (b"a,width\n5,1\n7,2\n", [[5, 1], [7, 2]], None),
        (BOM + BOM + b"label,b\n1,2.5\n2,3.5\n", [[2.5], [3.5]], [1, 2]),
    ],
)
def test_reads_values(content, rows, labels, tmp_path):
    np.testing.assert_array_equal(all_rows(load(tmp_path, content)), tables.rows_of(np.array(rows, float), labels))


def test_names_of_rows_are_no_feature_where_other_columns_are_dropped(tmp_path):
    written = '"","a","Species"\n"1",5.5,"setosa"\n"2",6.5,"virginica"\n'
    data = load(tmp_path, written, drop=["Species"])
    np.testing.assert_array_equal(all_rows(data), [[5.5], [6.5]])
    assert "1 features 'a'; left out '', 'Species'" in data.source
    assert load(tmp_path, written.replace("setosa", "1").replace("virginica", "2"), drop=(), label="").features == 3
    data = load(tmp_path, written.replace('""', '"Id"'), drop=["Species"])
    assert "2 features 'Id', 'a'; perhaps numbers of the rows: 'Id'; left out 'Species'" in data.source


def test_a_column_without_a_name_may_hold_labels(tmp_path):
    data = load(tmp_path, ",a\n1,5.5\n1,6.5\n", label=1)
    assert "1 features 'a'; labels in field 1 ('')" in data.source


def test_the_table_of_kaggle_holds_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 784))
    lines = ["label," + ",".join(f"pixel{i}" for i in range(784))]
    lines += [f"{number % 10}," + ",".join(map(str, row)) for number, row in enumerate(pixels.tolist())]
    data = load(tmp_path, "\n".join(lines))
    assert (data.train.dtype, data.image_shape) == (np.uint8, (28, 28))
    np.testing.assert_array_equal(all_rows(data), tables.rows_of(pixels, np.arange(20) % 10))
    assert "784 features 'pixel0', 'pixel1', ..., 'pixel783'; labels in field 1 ('label'); whole numbers" in data.source


# What may be read in two ways, the line about it, and what the options make of it.
AMBIGUOUS = [
    ("0,1,2\n" + PLAIN, "line 1: got 0, 1, ..., expected header=", {"header": True}, ROWS),
    ("# made, in, May\n0,1,2\n" + PLAIN, "line 2: got 0, 1, ..., expected header=", {"header": True}, ROWS),
    ("0,1,2\n" + PLAIN, "expected header=", {"header": False}, [(0, 1, 2), *ROWS]),
    ("400,410,430\n" + PLAIN, "expected header=", {"header": True}, ROWS),
    ("1x1,1x2,1x3\n" + PLAIN, "line 1, field 1: got '1x1', .* header=", {"header": True}, ROWS),
    ("label,7,9\n4,0.5,7\n5,1.5,8\n", "header=", {"header": True, "label": ""}, [(4, 0.5, 7), (5, 1.5, 8)]),
    (COUNTED, "field 1: got what may be numbers of the rows, 0 to 3, expected drop=", {"drop": [1]}, ROWS),
    ("Id,a,b,c\n" + COUNTED, r"field 1 \('Id'\): got what may be .* expected drop=", {"drop": ["Id"]}, ROWS),
    ("n,a\n1,5.5\n2,6\n".replace("n", "id"), "drop=", {"drop": ()}, [(1, 5.5), (2, 6)]),
    (
        "level_0,level_1,a\n0,0,5.5\n0,1,6\n1,0,7\n",
        r"field 1 \('level_0'\): got what may be .* expected drop=",
        {"drop": ["level_0", "level_1"]},
        [(5.5,), (6,), (7,)],
    ),
    (",a\n0.5,5\n0.25,6\n", "a column without a name, expected drop=", {"drop": ()}, [(0.5, 5), (0.25, 6)]),
    (
        "a;b\n1.234;2\n3.5;1.250\n".replace("3.5", "3.500"),
        r"thousands: got '1.234', expected decimal=",
        {"decimal": "."},
        [(1.234, 2), (3.5, 1.25)],
    ),
    ('"1,500";2\n"3,250";4', "field 1: got '1,500', .* decimal=", {"decimal": ","}, [(1.5, 2), (3.25, 4)]),
    ("1,5\n2,25", "got '5', expected delimiter=", {"delimiter": ",", "header": False, "drop": ()}, [(1, 5), (2, 25)]),
    ("1,5\n2,25", "got '5', expected delimiter=", {"delimiter": ";", "header": False}, [(1.5,), (2.25,)]),
    ("1,05\n2,25", "got '05', expected delimiter=", {"delimiter": "tab", "header": False}, [(1.05,), (2.25,)]),
    ("x\n1,5\n2,25", "2 fields under 1 name, .* delimiter=", {"delimiter": ";"}, [(1.5,), (2.25,)]),
    ("x\n1,5\n2,25", "2 fields under 1 name", {"delimiter": ",", "drop": ()}, [(1, 5), (2, 25)]),
    (
        "label,label,a\n1,2,3\n1,2,4\n",
        "2 columns named label, expected label=",
        {"label": 2, "drop": 1},
        [(3, 2), (4, 2)],
    ),
    ("a,class\n5,0\n7,1\n", r"\('class'\): got what may be labels, expected label=", {"label": ""}, [(5, 0), (7, 1)]),
    ("a,Species\n5,0\n7,1\n", r"\('Species'\): got what may be labels", {"label": 2}, [(5, 0), (7, 1)]),
    ("a,label\n1.5,cat\n2.5,5\n", r"field 2 \('label'\): got '5', .* drop=", {"drop": ["label"]}, [(1.5,), (2.5,)]),
    ("a,kind\n1.5,cat\n2.5,dog\n", r"\('kind'\): got 'cat', .* label=", {"label": "kind"}, [(1.5, 0), (2.5, 1)]),
    ("a,b,kind\n1,2.5,x\n4,3.5,y\n", r"\('kind'\): got 'x', .* drop=", {"drop": [-1]}, [(1, 2.5), (4, 3.5)]),
    ("5.1,x\n4.9,y\n", "line 1, field 2: got 'x', .* drop=", {"drop": [2], "header": False}, [(5.1,), (4.9,)]),
    ("x,5.1\ny,4.9\n", "line 1, field 1: got 'x', .* drop=", {"drop": ["1"]}, [(5.1,), (4.9,)]),
]


@pytest.mark.parametrize(("content", "message", "options", "rows"), AMBIGUOUS)
def test_what_can_be_read_in_two_ways(content, message, options, rows, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, content)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(all_rows(load(tmp_path, content, **options)), tables.rows_of(np.array(rows), None))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("9007199254740993,9007199254740991", "whole numbers beyond 2**53, which float64 rounds: 'a'"),
        ("16777217,-16777217", "whole numbers beyond 2**24, which float32 rounds unless standardize="),
        ("16777218,123456.75", ""),
        ("-999,-2", "-999, perhaps for missing values: 'a'"),
        ("-999,-500", "-999, perhaps for missing values: 'a'"),
        ("2,-99\n1.5,-60", ""),
        ("16777217.5,1e20", "whole numbers beyond 2**53, which float64 rounds: 'b'"),
    ],
)
def test_numbers_that_may_not_be_what_they_seem_are_named(values, said, tmp_path):
    data = load(tmp_path, f"a,b\n{values}\n1.0,2\n")
    assert data.source.partition("no labels")[2].removeprefix("; ").startswith(said)
    assert bool(said) == ("beyond" in data.source or "missing" in data.source)
    scaled = load(tmp_path, f"a,b\n{values}\n1.0,2\n", standardize=True).source
    assert ("2**53" in said) == ("beyond" in scaled)


def test_labels_that_floats_round_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"\('label'\): got fractions or numbers beyond 2\*\*53, expected whole numbers"
    ):
        load(tmp_path, "a,label\n0.5,9007199254740993\n0.7,9007199254740992\n")


def test_an_image_and_one_column_more(tmp_path):
    """Without a name for it, as some share MNIST: nobody can tell whether labels come first or last."""
    line = ",".join(["7"] * 785)
    with pytest.raises(ValueError, match="785 columns, an image of 28 x 28 and one more, expected label="):
        load(tmp_path, f"{line}\n{line}\n")
    for label in (1, -1, 785):
        data = load(tmp_path, f"{line}\n{line}\n", label=label)
        assert (data.features, data.train_labels.tolist()) == (784, [7])
    assert load(tmp_path, f"{line}\n{line}\n", label="").features == 785


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("my data\na,b,c\n" + PLAIN, "line 2: got 'a, b, c', expected numbers below one line of names: titles .* #"),
        ("my data\n" + PLAIN, "line 2: got 3 fields under 1 names, .* nothing but comments .* above the names"),
        (PLAIN + "\n0.1,,0.3", "line 5, field 2: got '', expected a finite value"),
        (PLAIN + "\n0.1,NA,0.3", "line 5, field 2: got 'NA', expected a finite value"),
        ("a,b\n#N/A,1\n2,3\n4,5\n", "line 2, field 1 .*: got '#N/A', expected a finite value"),
        ("#DIV/0!,1\n2,3\n4,5\n", "line 1, field 1: got '#DIV/0!', expected a number"),
        ("inf,1\n2,3\n4,5\n", "line 1, field 1: got 'inf'"),
        ("1,two\n3,4\n5,6\n", "line 1, field 2: got 'two', expected a number"),
        ("0x10,1\n2,3\n4,5\n", "line 1, field 1: got '0x10', expected a number"),
        ("'0.1','0.2'\n'0.3','0.4'\n", """got "'0.1'", expected a number"""),
        ("a;b\n1 000;2\n3;4\n", r"line 2, field 1 \('a'\): got '1 000', .* thousands must not be separated"),
        ("a;b\n1.234,5;2,5\n3;4\n", r"line 2, field 1 \('a'\): got '1.234,5', .* thousands must not be separated"),
        ("a,b\n1'234.5,2\n3,4\n", r"\('a'\): got \"1'234.5\", .* thousands must not be separated"),
        ("a,b\nmm,kg\n3,4\n", "line 2: got 'mm, kg', expected numbers below one line of names: .* units stand"),
        ("a,b\nTrue,1\n0,2\n", r"line 3, field 1 \('a'\): got '0', expected True or False"),
        ('a,b\n"1,2\n3,4\n', "line 3: quotes or a field that cannot be read"),
        ("a,b\n1\x1a,2\n3,4\n", "line 2: got 'Ctrl-Z'"),
        ("1,2,\n3,4,5\n", "line 2: got 3 fields, expected 2 and nothing after them"),
        ("1,2\n3,4\n5\n", "line 3: got 1 fields|expected delimiter="),
    ],
)
def test_refuses(content, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, content)
    assert str(caught.value).startswith("mine.csv: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "ab"}, "delimiter: got 'ab', expected one character"),
        ({"delimiter": "5"}, "delimiter: got '5', expected one character"),
        ({"encoding": "rot13"}, "encoding: got 'rot13', expected the name of an encoding, such as 'cp1252'"),
        ({"encoding": ""}, "encoding: got '', expected the name of an encoding"),
        ({"decimal": ";"}, "decimal: got ';', expected '.' or ','"),
        ({"header": 1}, "header: got 1, expected True or False"),
        ({"label": 1.5}, "label: got 1.5, expected a column's name or number"),
        ({"label": "z"}, "mine.csv: label: got 'z', expected a number from 1 to 2 or one of 'a', 'b'"),
        ({"label": 3}, "mine.csv: label: got 3, expected a number from 1 to 2"),
        ({"drop": {"a"}}, "drop: got {'a'}, expected columns' names or numbers in a list"),
        ({"drop": [1, 2]}, "got no column beside those to drop"),
        ({"drop": ["a"], "label": "a"}, r"got column 1 \('a'\) for the labels and to drop"),
        ({"drop": ["a"], "label": "b"}, "got labels and no features"),
    ],
)
def test_options_that_are_none(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "a,b\n5,2\n7,4\n", **options)


def test_an_option_of_archives_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"array: got 'a', expected an NPZ file with it; mine.csv is a table"):
        load(tmp_path, "a,b\n5,2\n7,4\n", array="a")


@pytest.mark.parametrize(
    "option", [{"encoding": "gbk"}, {"delimiter": ","}, {"decimal": "."}, {"header": True}, {"label": ""}, {"drop": ()}]
)
def test_options_of_tables_are_refused_elsewhere(option, tmp_path):
    (name,) = option
    for content in (npy(np.eye(3)), npz(False, np.eye(3)), idx(np.eye(3, dtype="u1")), gzip.compress(npy(np.eye(3)))):
        if name == "label":
            option = {name: "y"}  # "" is none, and there may be some in an archive, or beside a file
        if name == "label" and content[:2] == b"PK":
            continue
        with pytest.raises(ValueError, match=rf"{name}: got .*, expected a table.* with it; mine.dat is"):
            load(tmp_path, content, "mine.dat", **option)
    for known in ("mnist", "rings"):
        with pytest.raises(ValueError, match=f"{name}: got .*, expected a table.* with it; {known} is a data set"):
            load_dataset(known, **option)


def repeated(start, middle, end):
    return lambda count: (start + middle * count + end).encode()


# What each reader takes or refuses, at any length: a field of digits that end in a letter was quadratic once.
LONG = {
    "digits": repeated("1,", "1", "x\n2,3\n"),
    "digits of a fraction": repeated("a,b\n1,0.", "7", "\n2,3\n"),
    "digits of an exponent": repeated("a,b\n1,1e", "7", "x\n2,3\n"),
    "signs": repeated("a,b\n1,", "-", "\n2,3\n"),
    "blanks": repeated("a,b\n1,", " ", "2\n2,3\n"),
    "quotes": repeated("a,b\n1,", '""', "\n2,3\n"),
    "a name": repeated("a,", "bid", "\n1,2\n2,3\n"),
    "names": lambda count: b"\n".join([b"id," * (count // 8) + b"x"] + [b"0.5," * (count // 8) + b"1"] * 3),
    "no names": lambda count: b"\n".join([b"," * (count // 4) + b"x"] + [b"u," * (count // 4) + b"1"] * 3),
    "delimiters": repeated("a,b\n1", ",", "\n2,3\n"),
    "rows": repeated("a,b\n", "0.5,0.25\n", ""),
    "odd rows": lambda count: b"a,b\n" + "\u22120.5,0.25\n".encode() * (count // 4),
    "comments": repeated("", "# c\n", "a,b\n0.5,2\n0.7,3\n"),
    "comments within": repeated("a,b\n0.5,2\n0.7,3\n", "# c\n", ""),
    "empty lines": repeated("a,b\n0.5,2\n0.7,3\n", "\n", ""),
    "carriage returns": repeated("a,b\n0.5,2\n0.7,3", "\r", ""),
    "NPY": lambda count: npy(np.full((count, 4), 300)),
    "IDX": lambda count: idx(np.full((count, 8), 7, "u1")),
    "members of NPZ": lambda count: npz(**{f"x{i}": np.eye(2) for i in range(count // 100)}),
}


@pytest.mark.parametrize("kind", LONG)
def test_the_time_of_reading_grows_with_the_file_and_not_with_its_square(kind, tmp_path):
    assert_time_grows_with_the_file(tmp_path / "mine.csv", LONG[kind], load_dataset, 15_000)
