"""Each format of dots as its tool writes it, and all kinds of damage: read, or refused in one line with its place."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from dotally.data.annotation_file import MAX_BYTES
from dotally.data.point_formats import READERS, Dots, Format, format_of
from dotally.errors import AnnotationError

VOC = """<annotation>
<filename>a.jpg</filename>
<size><width>64</width><height>48</height></size>
<object><name>cell</name>
<bndbox><xmin>2</xmin><ymin>4</ymin><xmax>6</xmax><ymax>10</ymax></bndbox></object>
</annotation>
"""
CVAT = """<annotations>
<version>1.1</version><meta><task><name>mine</name></task></meta>
<image id="0" name="a.jpg" width="64" height="48">
<points label="cell" points="4.00,7.00;5.50,8.25"><attribute name="sure">yes</attribute></points>
<box label="egg" xtl="2.0" ytl="4.0" xbr="6.0" ybr="10.0"/>
<ellipse label="egg" cx="9.0" cy="8.0" rx="2" ry="3"/>
<polygon label="egg" points="0,0;4,0;4,2"/>
<tag label="blurred"/>
</image>
<image id="1" name="b.jpg" width="64" height="48"></image>
</annotations>
"""
COCO: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48},
        {"id": 8, "file_name": "b.jpg", "width": 64, "height": 48},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [2, 4, 4, 6]},
        {"id": 2, "image_id": 7, "category_id": 2, "keypoints": [5.5, 8.25, 2], "num_keypoints": 1},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 10, 20], "keypoints": [1, 1, 2, 3, 3, 2]},
        {"id": 4, "image_id": 7, "category_id": 1, "keypoints": [1, 1, 2, 3, 5, 1, 90, 90, 0]},
    ],
    "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "egg"}],
}
LABELME: dict[str, Any] = {
    "version": "5.4.1",
    "shapes": [
        {"label": "cell", "points": [[4.0, 7.0]], "shape_type": "point"},
        {"label": "egg", "points": [[2.0, 4.0], [6.0, 10.0]], "shape_type": "rectangle"},
        {"label": "egg", "points": [[9.0, 8.0], [11.0, 8.0]], "shape_type": "circle"},
    ],
    "imagePath": "..\\images\\a.jpg",
    "imageHeight": 48,
    "imageWidth": 64,
}
REGIONS: list[dict[str, Any]] = [
    {"shape_attributes": {"name": "point", "cx": 4, "cy": 7}, "region_attributes": {"kind": "cell"}},
    {"shape_attributes": {"name": "rect", "x": 2, "y": 4, "width": 4, "height": 6}, "region_attributes": {}},
]
_META = "_via_img_metadata"
VIA: dict[str, Any] = {
    "_via_settings": {"ui": {}},
    "_via_img_metadata": {
        "a.jpg1234": {"filename": "a.jpg", "size": 1234, "regions": REGIONS, "file_attributes": {}},
        "b.jpg99": {"filename": "b.jpg", "size": 99, "regions": [], "file_attributes": {}},
    },
}
VIA_CSV = """filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
a.jpg,1234,"{}",2,0,"{""name"":""point"",""cx"":4,""cy"":7}","{""kind"":""cell""}"
a.jpg,1234,"{}",2,1,"{""name"":""rect"",""x"":2,""y"":4,""width"":4,""height"":6}","{}"
b.jpg,99,"{}",0,0,"{}","{}"
"""
ARRAY = np.array([[4.0, 7.0], [5.5, 8.25]])


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def read(path: Path) -> list[Dots]:
    name = format_of(path)
    assert name is not None
    return READERS[name](path)


def shown(path: Path) -> list[tuple[str, list[list[float]], tuple[str, ...], tuple[int, int] | None]]:
    return [(one.picture, one.points.tolist(), one.labels, one.size) for one in read(path)]


def test_voc_gives_the_middles_of_boxes(tmp_path: Path) -> None:
    path = write(tmp_path, "a.xml", VOC)
    assert format_of(path) == "voc"
    assert shown(path) == [("a.jpg", [[4, 7]], ("cell",), (48, 64))]


def test_a_voc_file_without_objects_is_a_picture_without_dots(tmp_path: Path) -> None:
    assert shown(write(tmp_path, "a.xml", "<annotation><filename>a.jpg</filename></annotation>")) == [
        ("a.jpg", [], (), None)
    ]


def test_cvat_gives_every_point_and_the_middles_of_shapes(tmp_path: Path) -> None:
    path = write(tmp_path, "annotations.xml", CVAT)
    assert format_of(path) == "cvat"
    points = [[4, 7], [5.5, 8.25], [4, 7], [9, 8], [2, 1]]
    assert shown(path) == [
        ("a.jpg", points, ("cell", "cell", "egg", "egg", "egg"), (48, 64)),
        ("b.jpg", [], (), (48, 64)),
    ]


def test_coco_gives_a_keypoint_or_the_middle_of_a_box_or_of_keypoints(tmp_path: Path) -> None:
    path = write(tmp_path, "coco.json", COCO)
    assert format_of(path) == "coco"
    points = [[4, 7], [5.5, 8.25], [5, 10], [2, 3]]
    assert shown(path) == [("a.jpg", points, ("cell", "egg", "cell", "cell"), (48, 64)), ("b.jpg", [], (), (48, 64))]


def test_labelme_gives_points_and_middles(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", LABELME)
    assert format_of(path) == "labelme"
    assert shown(path) == [("..\\images\\a.jpg", [[4, 7], [4, 7], [9, 8]], ("cell", "egg", "egg"), (48, 64))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("project.json", VIA),
        ("export.json", VIA["_via_img_metadata"]),
        (
            "version1.json",
            {
                "a": {"filename": "a.jpg", "regions": {"0": REGIONS[0], "1": REGIONS[1]}},
                "b": {"filename": "b.jpg", "regions": {}},
            },
        ),
        ("export.csv", VIA_CSV),
    ],
)
def test_via_is_read_as_project_as_export_and_as_table(name: str, content: Any, tmp_path: Path) -> None:
    path = write(tmp_path, name, content)
    assert format_of(path) == "via"
    assert shown(path) == [("a.jpg", [[4, 7], [4, 7]], ("cell", ""), None), ("b.jpg", [], (), None)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x,y\n4,7\n5.5,8.25\n", [("", [[4, 7], [5.5, 8.25]])]),
        ("x,y\n", [("", [])]),
        ("4;7\n5.5;8.25\n", [("", [[4, 7], [5.5, 8.25]])]),
        ("\ufeffFilename\tX\tY\r\na.jpg\t4\t7\r\nb.jpg\t\t\r\n", [("a.jpg", [[4, 7]]), ("b.jpg", [])]),
        ("a.jpg, 4, 7\nb.jpg, 5.5, 8.25\n", [("a.jpg", [[4, 7]]), ("b.jpg", [[5.5, 8.25]])]),
        (" ,Area,Mean,X,Y\n1,0,120,4,7\n", [("", [[4, 7]])]),
        ("index,axis-0,axis-1\n0,7,4\n", [("", [[4, 7]])]),
        ("image_path,x1,y1,x2,y2,label\na.jpg,2,4,6,10,cell\n", [("a.jpg", [[4, 7]])]),
        ("image,x0,y0,x1,y1\na.jpg,2,4,6,10\n", [("a.jpg", [[4, 7]])]),
    ],
)
def test_tables_are_read_whatever_they_are_called(content: str, expected: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", content)
    assert format_of(path) == "csv"
    assert [one[:2] for one in shown(path)] == expected


def test_a_table_of_boxes_has_classes_and_sizes(tmp_path: Path) -> None:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    assert shown(write(tmp_path, "a.csv", f"{header}a.jpg,64,48,cell,2,4,6,10\n")) == [
        ("a.jpg", [[4, 7]], ("cell",), (48, 64))
    ]


@pytest.mark.parametrize("content", ["file,width,height,count\na.jpg,64,48,7\n", "some,words\n", "\n"])
def test_other_tables_are_not_taken_for_dots(content: str, tmp_path: Path) -> None:
    assert format_of(write(tmp_path, "counts.csv", content)) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([[4, 7], [5.5, 8.25]], [("", [[4, 7], [5.5, 8.25]], ("", ""))]),
        ([], [("", [], ())]),
        ({"points": [{"x": 4, "y": 7, "label": "cell"}], "image": "a.jpg"}, [("a.jpg", [[4, 7]], ("cell",))]),
        ([{"file": "a.jpg", "points": []}], [("a.jpg", [], ())]),
        ({"a.jpg": [[4, 7]], "b.jpg": []}, [("a.jpg", [[4, 7]], ("",)), ("b.jpg", [], ())]),
    ],
)
def test_plain_json_is_read_in_every_shape(content: Any, expected: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", content)
    assert format_of(path) == "json"
    assert [one[:3] for one in shown(path)] == expected


@pytest.mark.parametrize("content", [{"theme": "dark"}, {}, {"recent": [1, 2]}, ["a", "b"], 7])
def test_other_json_is_not_taken_for_dots(content: Any, tmp_path: Path) -> None:
    assert format_of(write(tmp_path, "settings.json", content)) is None


@pytest.mark.parametrize("name", ["annPoints", "image_info", "anything"])
def test_mat_files_of_several_authors_are_read(name: str, tmp_path: Path) -> None:
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = {"location": ARRAY, "number": 2.0}
    savemat(tmp_path / "a.mat", {name: cell if name == "image_info" else ARRAY}, do_compression=True)
    assert format_of(tmp_path / "a.mat") == "mat"
    assert read(tmp_path / "a.mat")[0].points.tolist() == ARRAY.tolist()


def test_a_mat_file_with_several_variables_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"one": ARRAY, "two": ARRAY})
    with pytest.raises(AnnotationError, match=r"a\.mat: expected image_info, .* there are: one, two"):
        read(tmp_path / "a.mat")


def test_npy_files_are_read_without_further_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.c_[ARRAY, [9, 9]].astype(np.float32))
    assert format_of(tmp_path / "a.npy") == "npy"
    assert read(tmp_path / "a.npy")[0].points.tolist() == ARRAY.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((48, 64)), "a density map"),
        (np.array([[1.0, np.nan]]), "point 0 is"),
        (np.array([["1", "2"]]), "should hold points"),
        (np.array([{"x": 1}], dtype=object), "not a readable npy file"),
    ],
)
def test_other_arrays_are_refused(content: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path / "a.npy")


def paint(path: Path, *places: tuple[int, int], brush: int = 0, ground: int = 0, mark: Any = (255, 0, 0)) -> Path:
    pixels = np.full((48, 64, 3), ground, dtype=np.uint8)
    for x, y in places:
        pixels[y - brush : y + brush + 1, x - brush : x + brush + 1] = mark
    Image.fromarray(pixels).save(path)
    return path


def test_every_pixel_is_a_dot_even_beside_another(tmp_path: Path) -> None:
    (found,) = READERS["dots"](paint(tmp_path / "a.png", (4, 7), (5, 7), (20, 30), (40, 30)))
    assert found.points.tolist() == [[4.5, 7.5], [5.5, 7.5], [20.5, 30.5], [40.5, 30.5]]
    assert found.size == (48, 64)


def test_every_blob_of_a_brush_is_a_dot_on_any_ground(tmp_path: Path) -> None:
    (found,) = READERS["dots"](paint(tmp_path / "a.png", (4, 7), (20, 30), brush=2, ground=255))
    assert found.points.tolist() == [[4.5, 7.5], [20.5, 30.5]]


def test_an_empty_picture_has_no_dots_and_a_photograph_is_none(tmp_path: Path) -> None:
    assert READERS["dots"](paint(tmp_path / "a.png"))[0].points.shape == (0, 2)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.png")
    with pytest.raises(AnnotationError, match=r"b\.png: no picture of dots: 100% of its pixels"):
        READERS["dots"](tmp_path / "b.png")


def changed(content: dict[str, Any], *keys: Any, to: Any) -> dict[str, Any]:
    """Return a copy in which the value at ``keys`` is another one."""
    copy = json.loads(json.dumps(content))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return copy


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("a.xml", VOC.replace("<xmax>6</xmax>", ""), 5, "without xmax"),
        ("a.xml", VOC.replace(">6<", ">six<"), 5, "xmax should be a number, it is 'six'"),
        ("a.xml", VOC.replace(">6<", ">1<"), 5, "ends before it begins"),
        ("a.xml", VOC.replace("bndbox", "polygon"), 4, "without a bndbox"),
        ("a.xml", VOC[:-4], 6, "no readable XML"),
        ("a.xml", "<html/>", 1, "expected <annotation>"),
        ("b.xml", CVAT.replace("box", "polyline"), 5, "a polyline is no dot"),
        ("b.xml", CVAT.replace("4.00,7.00", "4.00"), 4, "points should be x,y;x,y"),
        ("b.xml", CVAT.replace('name="a.jpg" ', ""), 3, "without a name"),
        ("b.xml", "<annotations>\n<track/></annotations>", 2, "a video's track"),
        ("c.json", changed(COCO, "annotations", 1, "image_id", to=3), 28, "image_id 3 is not the id"),
        ("c.json", changed(COCO, "annotations", 0, "bbox", to=[1, 2, 3]), 17, "neither a bbox"),
        ("c.json", changed(COCO, "annotations", 0, "iscrowd", to=1), 17, "unknown number of objects"),
        ("c.json", changed(COCO, "images", 1, "id", to=7), 9, "the id 7 is there twice"),
        ("c.json", changed(COCO, "annotations", to=None), 1, "annotations should be a list"),
        ("d.json", changed(LABELME, "shapes", 1, "shape_type", to="line"), 14, "a 'line' is no dot"),
        ("d.json", changed(LABELME, "shapes", 1, "points", to=[[1, None]]), 14, "a list of"),
        (
            "e.json",
            changed(VIA, "_via_img_metadata", "a.jpg1234", "regions", 0, "shape_attributes", to={}),
            10,
            "no dot",
        ),
        ("f.json", {"a.jpg": [[1, 2], [3]]}, 7, "should be a point"),
        ("f.json", {"a.jpg": [[1, 10**400]]}, 3, "should be a point"),
        ("f.json", '{"a.jpg": [[1, 2],\n[3, ]]}', 2, "no readable JSON"),
        ("f.json", "[" * 100_000, 1, "no readable JSON"),
        ("g.csv", "x,y\n1,2\n3,four\n", 3, "y should be a number, it is 'four'"),
        ("g.csv", "x,y\n1,2\nnan,4\n", 3, "x should be a number, it is 'nan'"),
        ("g.csv", "x,y\n1\n", 2, "y should be a number, it is ''"),
        ("g.csv", "file,x,y\n,1,2\n", 2, "no picture is named"),
        ("g.csv", "file,x,y,w,h\na.jpg,1,2,9,9\n", 1, "the middle or the corner"),
        ("g.csv", "index,axis-0,axis-1,axis-2\n0,1,7,4\n", 1, "places in a stack"),
        ("g.csv", "x,y\n1,2\n\xff".encode("latin-1"), 3, "UTF-8"),
        ("g.csv", VIA_CSV.replace('"{""name', '"[""name'), 2, "no readable JSON"),
        ("g.csv", b"", 1, "the file is empty"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_line(
    name: str, content: Any, line: int, message: str, tmp_path: Path
) -> None:
    readers: dict[str, Format] = {
        "a.xml": "voc",
        "b.xml": "cvat",
        "c.json": "coco",
        "d.json": "labelme",
        "e.json": "via",
        "f.json": "json",
        "g.csv": "via" if "region" in str(content) else "csv",
    }
    path = write(tmp_path, name, content)
    with pytest.raises(AnnotationError) as error:
        READERS[readers[name]](path)
    assert str(error.value).startswith(f"{path}: line {line}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ['<!ENTITY a "aaaa">', '<!ENTITY a SYSTEM "file:///etc/hostname">', '<!ENTITY % a "b">']
)
@pytest.mark.parametrize("content", [VOC, CVAT], ids=["voc", "cvat"])
def test_entities_are_refused(text: str, content: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.xml", f"<!DOCTYPE annotation [\n{text}\n]>{content}")
    with pytest.raises(AnnotationError, match=r"a\.xml: line 2: declares the entity 'a'"):
        format_of(path)


def test_files_that_are_too_large_or_not_there_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(AnnotationError, match=r"a\.json: 268 MB, more than"):
        format_of(tmp_path / "a.json")
    with pytest.raises(AnnotationError, match=r"b\.json: cannot be read"):
        READERS["coco"](tmp_path / "b.json")


def test_a_mat_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savemat(tmp_path / "a.mat", {"zeros": np.zeros((100_000, 2))}, do_compression=True)
    monkeypatch.setattr("dotally.data.mat_file.MAX_BYTES", 1_000_000)
    with pytest.raises(AnnotationError, match="unpacks to too much"):
        read(tmp_path / "a.mat")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, bytes]:
    """A good file of every format."""
    folder = tmp_path_factory.mktemp("good")
    savemat(folder / "a.mat", {"annPoints": ARRAY}, do_compression=True)
    np.save(folder / "a.npy", ARRAY)
    paint(folder / "a.png", (4, 7))
    texts: dict[Format, Any] = {
        "csv": "file,x,y,label\na.jpg,4,7,cell\nb.jpg,,,\n",
        "coco": json.dumps(COCO),
        "voc": VOC,
        "labelme": json.dumps(LABELME),
        "json": json.dumps({"a.jpg": [[4, 7], {"x": 1, "y": 2}]}),
        "via": json.dumps(VIA),
        "cvat": CVAT,
    }
    files: dict[Format, bytes] = {name: text.encode() for name, text in texts.items()}
    return files | {name: (folder / f"a.{end}").read_bytes() for name, end in BINARY.items()}


BINARY: dict[Format, str] = {"mat": "mat", "npy": "npy", "dots": "png"}
FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(name: Format, path: Path) -> None:
    """Read a file: no other error than ours may come out, in one line with the file and, for a text, its line."""
    with suppress(AnnotationError):
        format_of(path)
    complaint, found = "", list[Dots]()
    try:
        found = READERS[name](path)
    except AnnotationError as error:
        complaint = str(error)
    assert not complaint or re.match(re.escape(str(path)) + (": " if name in BINARY else r": line \d+: "), complaint)
    assert "\n" not in complaint
    for one in found:
        assert np.isfinite(one.points).all()
        assert one.points.shape == (len(one.labels), 2)
        assert str(path) in str(one.where)


@FUZZ
@given(place=st.floats(0, 1), damage=st.binary(max_size=12), cut=st.booleans())
@pytest.mark.parametrize("name", list(READERS))
def test_a_damaged_file_is_read_or_refused(
    name: Format, place: float, damage: bytes, cut: bool, good: dict[Format, bytes], tmp_path: Path
) -> None:
    start = int(place * len(good[name]))
    path = tmp_path / f"a.{BINARY.get(name, 'txt')}"
    path.write_bytes(good[name][:start] + damage + (b"" if cut else good[name][start + len(damage) :]))
    check(name, path)


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4) | st.just(10**400)
WORDS = """images annotations categories id image_id file_name bbox keypoints name shapes points label shape_type
imagePath filename regions shape_attributes region_attributes cx cy x y a.jpg all_points_x image"""
KEYS = st.sampled_from(WORDS.split())
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@FUZZ
@given(content=JSON, pick=st.integers(0, 1 << 30))
@pytest.mark.parametrize("name", ["coco", "labelme", "json", "via"])
def test_any_json_is_read_or_refused(
    name: Format, content: Any, pick: int, good: dict[Format, bytes], tmp_path: Path
) -> None:
    path = write(tmp_path, "any.json", content)
    check(name, path)
    # and as a part of a good file, where the readers look more closely
    whole = json.loads(good[name])
    place: Any = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[pick % len(keys)]
        pick //= len(keys)
        if pick % 3 == 0 or not isinstance(place[key], (dict, list)) or not place[key]:
            place[key] = content
            break
        place = place[key]
    check(name, write(tmp_path, "part.json", whole))
