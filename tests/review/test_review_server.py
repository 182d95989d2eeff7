"""The review page's server: who may ask, what is shown, what is saved."""

import csv
import io
import re
import wave
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from review_toys import make_items, make_joined, make_sets, make_texts

from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.encoding import hash_content
from seqbelt.review.decisions import Decisions
from seqbelt.review.items import ReviewItems
from seqbelt.review.server import COOKIE, create_app
from seqbelt.texts.review import REVIEW

TOKEN, PORT = "secret", 4242
BASE = f"http://127.0.0.1:{PORT}"


class Client:
    """The page's requests, with its cookie."""

    def __init__(self, items, path, token=TOKEN, language="en"):
        self.decisions = Decisions(items, path)
        self.client = create_app(items, self.decisions, TOKEN, PORT, language).test_client()
        self.client.get(f"/?token={token}", base_url=BASE)

    def get(self, path, **options):
        return self.client.get(path, base_url=BASE, **options)

    def post(self, path, body=None, **options):
        return self.client.post(path, json=body or {}, base_url=BASE, **options)

    def order(self, **filters):
        items = self.get("/api/items", query_string={"limit": 200, **filters}).json["items"]
        return [one["item"] for one in items]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "toys.corrections.csv"


@pytest.fixture
def client(path):
    return Client(make_texts(), path)


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [*csv.reader(file)][1:]


def test_only_the_printed_address_opens_the_page(path):
    stranger = Client(make_texts(), path, token="guess")
    for page in ("/", "/api/summary", "/media/0/picture", "/page/page.js"):
        assert stranger.get(page).status_code == 403
    assert stranger.post("/api/decide", {"item": 0, "label": "a"}).status_code == 403
    assert not path.exists()


def test_other_names_ports_and_pages_are_refused(client, path):
    asked = {"item": 0, "label": "a"}
    # A browser sends the cookie to a name that is rebound to this machine, too.
    bare = client.client.application.test_client(use_cookies=False)
    cookie = {"Cookie": f"{COOKIE}-{PORT}={TOKEN}"}
    bases = {BASE: 200, "http://evil.example:4242": 403, "http://127.0.0.1:80": 403}
    for base, status in bases.items():
        assert bare.get("/api/summary", base_url=base, headers=cookie).status_code == status
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.post("/api/decide", asked, headers=headers).status_code == 403
    form = client.client.post("/api/decide", data=asked, base_url=BASE)
    assert form.status_code == 415
    assert not path.exists()
    assert client.post("/api/decide", asked, headers={"Origin": BASE}).status_code == 200


def test_the_cookie_is_strict_and_nothing_foreign_is_loaded(path):
    items = make_texts()
    app = create_app(items, Decisions(items, path), TOKEN, PORT).test_client()
    answer = app.get(f"/?token={TOKEN}", base_url=BASE)
    assert answer.location == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    page = app.get("/", base_url=BASE)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    text = page.text + app.get("/page/page.js", base_url=BASE).text
    assert "https://" not in text and "innerHTML" not in text and "style=" not in text


def test_no_other_file_can_be_read(client):
    for page in ("/page/..%2fserver.py", "/page/server.py", "/media/60/picture", "/api/items/60",
                 "/media/-1/picture", "/media/0/sound"):  # fmt: skip
        assert client.get(page).status_code == 404


def test_contradicted_labels_come_first_then_the_least_sure_then_random_ones(client):
    order = client.order()
    assert set(order[:2]) == {3, 7}
    rest = [row for row in range(60) if row not in (3, 7)]
    assert order[2:22] == rest[:20]
    assert sorted(order[22:]) == rest[20:] and order[22:] != rest[20:]
    assert client.order(section="contradicted") == order[:2]


def test_filters_by_class_folder_and_state(client):
    assert set(client.order(folder="two")) == {*range(1, 60, 2)}
    # Labelled or predicted as a: item 7 is labelled b and predicted a.
    assert set(client.order(**{"class": "a"})) == {*range(0, 60, 3), 7}
    client.post("/api/decide", {"item": 7, "label": "a"})
    assert 7 not in client.order(state="open")
    assert client.order(state="reviewed") == [7]
    page = client.get("/api/items", query_string={"offset": 10, "limit": 5}).json
    assert page["total"] == 60 and [i["item"] for i in page["items"]] == client.order()[10:15]


def test_each_decision_is_on_disk_before_the_answer_and_can_be_undone(client, path):
    items = client.decisions.items
    first = client.post("/api/decide", {"item": 7, "label": "a"}).json
    assert (first["num_reviewed"], first["num_changed"]) == (1, 1)
    assert rows_of(path) == [["two/7", items.content_hashes[7], "b", "a"]]
    client.post("/api/decide", {"item": 7, "label": "b"})
    assert client.post("/api/undo").json["undone"]["decision"] == "a"
    assert client.post("/api/undo").json["undone"]["decision"] == ""
    assert client.post("/api/undo").json["undone"] is None
    assert [row[-1] for row in rows_of(path)] == ["a", "b", "a", ""]


def test_a_review_resumes_where_it_ended(client, path):
    for item, label in ((7, "a"), (3, "a"), (9, "a")):
        client.post("/api/decide", {"item": item, "label": label})
    client.post("/api/undo")
    later = Client(make_texts(), path)
    assert later.decisions.labels == {7: "a", 3: "a"}
    assert later.post("/api/undo").json["undone"]["item"] == 3


def test_decisions_on_changed_content_neither_count_nor_are_taken(client, path):
    client.post("/api/decide", {"item": 7, "label": "a"})
    items = make_texts()
    changed = [f"{items.source(row)}!" for row in range(60)]
    object.__setattr__(items, "source", changed.__getitem__)
    answer = Client(items, path).post("/api/decide", {"item": 0, "label": "b"})
    assert answer.status_code == 422 and "content has changed" in answer.json["error"]
    object.__setattr__(items, "content_hashes", [hash_content(text) for text in changed])
    later = Client(items, path)
    assert later.decisions.labels == {}
    assert "1 earlier decisions do not count" in later.get("/api/summary").json["remarks"][0]


def test_a_label_that_is_no_class_is_refused(client, path):
    answer = client.post("/api/decide", {"item": 0, "label": "c"})
    assert answer.status_code == 422 and "'c' is not a class" in answer.json["error"]
    assert client.post("/api/decide", {"item": "0", "label": "a"}).status_code == 400
    assert not path.exists()


def test_the_error_rate_is_of_the_first_random_items_only(client):
    random = client.order(section="random")
    items = client.decisions.items
    assert client.get("/api/summary").json["error_rate"] is None
    other = {"a": "b", "b": "a"}
    for rank, item in enumerate(random[:10]):
        label = items.labels[item]
        client.post("/api/decide", {"item": item, "label": other[label] if rank == 4 else label})
    # Not the next one: an item that was looked up says nothing of the rest.
    client.post("/api/decide", {"item": random[20], "label": other[items.labels[random[20]]]})
    rate = client.get("/api/summary").json["error_rate"]
    assert (rate["num_reviewed"], rate["num_wrong"]) == (10, 1)
    assert rate["low"] < 0.1 < rate["high"]


def test_texts_come_as_they_are_read(client):
    (shown,) = client.get("/api/items/4").json["inputs"]
    assert shown == {"name": "", "kind": "text", "text": "text <i>4</i>"}


def test_a_sound_is_played_as_wav_in_ranges_with_its_spectrogram(tmp_path, path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    soundfile.write(tmp_path / "tone.flac", tone, 8000)
    items = make_items([tmp_path / "tone.flac"], LogMel(kind="log_mel"), ["a"], [[0.9, 0.1]])
    client = Client(items, path)
    played = client.get("/media/0/sound")
    with wave.open(io.BytesIO(played.data)) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 4000)
    part = client.get("/media/0/sound", headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.data)) == (206, 100)
    assert client.get("/media/0/picture").data[:4] == b"\x89PNG"


def test_an_unreadable_item_is_an_answer_with_its_reason(tmp_path, path):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    items = make_items([tmp_path / "bad.wav"], LogMel(kind="log_mel"), ["a"], [[0.9, 0.1]])
    answer = Client(items, path).get("/media/0/picture")
    assert answer.status_code == 422 and "not a file of this kind" in answer.json["error"]


def test_channels_are_drawn(path):
    items = make_items([np.zeros((20, 2))], Channels(kind="channels"), ["a"], [[0.9, 0.1]])
    answer = Client(items, path).get("/media/0/picture")
    assert answer.mimetype == "image/svg+xml" and answer.text.count("<path") == 2


def test_a_hundred_thousand_items_come_in_pages(path):
    count = 100_000
    items = make_texts(12)
    many = ReviewItems(
        names=[f"folder{row % 40}/{row}.txt" for row in range(count)],
        labels=["a", "b"] * (count // 2),
        content_hashes=[""] * count,
        classes=("a", "b"),
        probabilities=np.random.default_rng(0).dirichlet([1, 1], count),
        is_contradicted=np.arange(count) % 50 == 0,
        doubt=np.random.default_rng(1).random(count),
        features=items.features,
        source=lambda item: f"text {item}",
        paths=[f"folder{row % 40}/{row}.txt" for row in range(count)],
    )
    client = Client(many, path)
    for offset in (0, 50_000, 99_980):
        page = client.get("/api/items", query_string={"offset": offset, "state": "open"}).json
        shown = [one["item"] for one in page["items"]]
        assert page["total"] == count and shown == many.order[offset : offset + 50].tolist()
    progress = client.post("/api/decide", {"item": 70_001, "label": "a"}).json
    assert (progress["num_items"], progress["num_reviewed"]) == (count, 1)
    assert 70_001 in client.order(state="reviewed")


def test_several_labels_are_saved_as_lists(path):
    client = Client(make_sets(), path)
    assert set(client.order()[:2]) == {4, 8}
    first = client.get("/api/items/4").json
    assert (first["label"], first["predicted"]) == ('["a"]', '["a", "c"]')
    assert first["confidence"] == pytest.approx(0.9 * (0.6 + 4 * 0.35 / 59) ** 2)
    client.post("/api/decide", {"item": 4, "label": '["c","a"]'})
    client.post("/api/decide", {"item": 8, "label": '["a"]'})
    client.post("/api/decide", {"item": 3, "label": "[]"})
    progress = client.post("/api/decide", {"item": 2, "label": "[]"}).json
    assert (progress["num_reviewed"], progress["num_changed"]) == (4, 2)
    decided = [(row[0], row[2], row[3]) for row in rows_of(path)]
    assert decided == [
        ("one/4", '["a"]', '["a", "c"]'), ("one/8", '["a"]', '["a"]'), ("two/3", "", "[]"),
        ("one/2", "[]", "[]"),
    ]  # fmt: skip
    assert client.post("/api/undo").json["undone"]["decision"] == ""
    assert Client(make_sets(), path).decisions.labels == {
        4: '["a", "c"]', 8: '["a"]', 3: "[]",
    }  # fmt: skip


def test_several_labels_are_filtered_by_each_of_them(path):
    client = Client(make_sets(), path)
    assert set(client.order(**{"class": "b"})) == {*range(1, 60, 4)}
    assert set(client.order(**{"class": "c"})) == {4, 8}
    assert client.order(**{"class": "d"}) == []


@pytest.mark.parametrize(
    ("label", "message"),
    [('["d"]', "is not a class"), ("a", "expected a list of labels"), ("", "is not a class")],
)
def test_several_labels_must_be_a_list_of_classes(path, label, message):
    answer = Client(make_sets(), path).post("/api/decide", {"item": 0, "label": label})
    assert answer.status_code == 422 and message in answer.json["error"]
    assert not path.exists()


def test_each_input_is_shown_by_its_kind_with_the_columns_beside(tmp_path, path):
    client = Client(make_joined(tmp_path), path)
    shown = client.get("/api/items/0").json
    kinds = [(one["name"], one["kind"], one.get("text")) for one in shown["inputs"]]
    assert kinds == [
        ("sound", "audio", None), ("note", "text", "a loud <b>tone</b>"),
        ("motion", "channels", None),
    ]  # fmt: skip
    assert shown["columns"] == [["age", "61"], ["ward", ""]]
    assert client.get("/api/summary").json["kind"] == "inputs"
    assert client.get("/media/0/sound?input=0").data[:4] == b"RIFF"
    assert client.get("/media/0/picture?input=0").data[:4] == b"\x89PNG"
    assert client.get("/media/0/picture?input=2").text.count("<path") == 2
    for missing in ("0/sound?input=1", "0/sound?input=3", "0/picture?input=-1", "1/sound?input=0"):
        assert client.get(f"/media/{missing}").status_code == 404
    kinds = [one["kind"] for one in client.get("/api/items/1").json["inputs"]]
    assert kinds == [None, "text", "channels"]


def test_a_decision_on_an_item_of_several_inputs_is_of_all_of_them(tmp_path, path):
    items = make_joined(tmp_path)
    client = Client(items, path)
    assert client.post("/api/decide", {"item": 0, "label": "b"}).status_code == 200
    assert rows_of(path) == [["one/0", hash_content(items.source(0)), "a", "b"]]
    changed = [replace(items.source(row), cells=("62", "")) for row in range(2)]
    object.__setattr__(items, "source", changed.__getitem__)
    answer = client.post("/api/decide", {"item": 0, "label": "a"})
    assert answer.status_code == 422 and "content has changed" in answer.json["error"]


def test_every_text_that_the_page_asks_for_is_there():
    page = files("seqbelt.review") / "page"
    script, html = ((page / name).read_text("utf-8") for name in ("page.js", "page.html"))
    asked = {f"review_{key}" for key in re.findall(r'words\("(\w+)"', script)}
    asked |= set(re.findall(r'words\("(\w+)"', html))
    assert len(asked) > 40 and asked <= REVIEW.keys()
    outside = re.sub(r"\{\{.*?\}\}|<(title|kbd)>.*?</\1>", "", html)
    assert not re.findall(r">\s*[A-Za-z][a-z]+", outside)  # no English is left there


def test_the_page_is_korean_on_request(path):
    client = Client(make_texts(), path, language="ko")
    html = client.get("/").text
    assert '<html lang="ko">' in html and "다른 클래스:" in html and "Another" not in html
    summary = client.get("/api/summary").json
    assert summary["texts"]["undo"] == "되돌리기" and summary["percent"] == "0.0%"
    items = replace(make_texts(), content_hashes=["other"] * 60)
    changed = Client(items, path, language="ko").post("/api/decide", {"item": 0, "label": "a"})
    assert "내용이 바뀌었습니다" in changed.json["error"]
