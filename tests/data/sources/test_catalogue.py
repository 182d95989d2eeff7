import gzip
import io
import tarfile
import urllib.request
from collections import Counter

import pytest

from seqbelt.data.sources import catalogue
from seqbelt.data.sources.catalogue import MIRROR, find_known_set
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.known_sets import KNOWN_SETS, KnownSet, Origin
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.audio.audio_decoding import decode_audio

FILES = {"takes/a_1.txt": b"one", "takes/b_2.txt": b"two", "notes/README": b"not a member"}


def pack(path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror folder; whoever asks the network instead fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))

    def no_network(url, timeout):
        raise OSError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    return tmp_path / "mirror"


@pytest.fixture
def declare(monkeypatch):
    """Declare a tiny known set ``toy`` that lists the unpacked texts."""
    calls = []

    def build(folder):
        calls.append(folder)
        texts = sorted((folder / "unpacked").rglob("*.txt"))
        lines = [f"{path.relative_to(folder)},{path.stem[0]}" for path in texts]
        (folder / "manifest.csv").write_text("\n".join(["path,label", *lines]))
        return folder / "manifest.csv"

    def make(sha256: str, origin: str = "toy/toy.tar.gz"):
        origins = (Origin(origin, "http://nowhere.invalid/toy", sha256, members="*.txt"),)
        known = KnownSet("toy", "about", "licence", origins, build)
        monkeypatch.setitem(KNOWN_SETS, "toy", known)
        return calls

    return make


def checksum_of(folder) -> str:
    return catalogue._checksum(folder.rglob("*.txt"))


@pytest.fixture
def checksum(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "expected" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "expected" / name).write_bytes(content)
    return checksum_of(tmp_path / "expected")


def test_a_known_set_is_taken_from_the_mirror_once(mirror, declare, checksum):
    pack(mirror / "toy/toy.tar.gz", FILES)
    calls = declare(checksum)
    manifest = Data(source="toy").list_items()
    assert manifest.column("label").tolist() == ["a", "b"]
    assert manifest.source(1).read_bytes() == b"two"
    (mirror / "toy/toy.tar.gz").unlink()
    assert find_known_set("toy").name == "manifest.csv"
    assert len(calls) == 1


def test_the_checksum_is_of_the_members_and_not_of_the_packing(mirror, declare, checksum):
    pack(mirror / "toy/toy.tar.gz", dict(reversed(FILES.items())))
    declare(checksum)
    assert find_known_set("toy").is_file()


@pytest.mark.parametrize(
    "members",
    [
        FILES | {"takes/a_1.txt": b"eno"},
        FILES | {"takes/c_3.txt": b"more"},
        {"takes/a_1.txt": b"one"},
        {"takes/a_1.txt": b"two", "takes/b_2.txt": b"one"},
    ],
    ids=["changed", "added", "missing", "swapped"],
)
def test_other_content_is_refused_and_never_becomes_ready(mirror, declare, checksum, members):
    pack(mirror / "toy/toy.tar.gz", members)
    declare(checksum)
    for _ in range(2):
        with pytest.raises(SeqbeltError, match="checksum"):
            find_known_set("toy")


@pytest.mark.parametrize("name", ["../../../evil.txt", "/evil.txt", "takes/../../../evil.txt"])
def test_a_member_cannot_leave_the_folder(mirror, declare, tmp_path, name):
    pack(mirror / "toy/toy.tar.gz", FILES | {name: b"evil"})
    declare("0" * 64)
    with pytest.raises(SeqbeltError, match=r"toy\.tar\.gz"):
        find_known_set("toy")
    for path in tmp_path.rglob("evil.txt"):  # an absolute name is made relative
        assert path.is_relative_to(tmp_path / "data/raw/toy/unpacked")


def test_a_member_that_links_out_of_the_folder_is_refused(mirror, declare, tmp_path):
    (mirror / "toy").mkdir(parents=True)
    with tarfile.open(mirror / "toy/toy.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("takes/out")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    declare("0" * 64)
    with pytest.raises(SeqbeltError, match=r"toy\.tar\.gz"):
        find_known_set("toy")


@pytest.mark.parametrize("name", ["toy/toy.tar.gz", "toy/toy.csv.gz"])
@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", gzip.compress(b"x" * 9999, mtime=0)[:-9]],
    ids=["empty", "garbage", "truncated"],
)
def test_a_damaged_archive_is_refused_by_name(mirror, declare, name, content):
    (mirror / "toy").mkdir(parents=True)
    (mirror / name).write_bytes(content)
    declare("0" * 64, name)
    with pytest.raises(SeqbeltError, match=r"toy\.(tar|csv)\.gz"):
        find_known_set("toy")


def test_without_mirror_and_network_the_message_says_what_to_do(mirror, declare):
    declare("0" * 64)
    with pytest.raises(SeqbeltError, match=rf"nowhere\.invalid.*toy/toy\.tar\.gz.*{MIRROR}"):
        find_known_set("toy")


def test_an_unknown_set_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="fsdd"):
        find_known_set("nothing")


def test_fsdd_has_its_official_split(real_data, tmp_path, monkeypatch):
    archive = real_data("fsdd/fsdd.tar.gz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MIRROR, str(archive.parents[1]))
    manifest = Data(source="fsdd").load()
    split, group, label = (manifest.column(name) for name in ("split", "group", "label"))
    assert len(manifest) == 3000
    assert len(set(group)) == 6
    assert Counter(split)["test"] == 300
    assert Counter(label[split == "test"]) == {str(digit): 30 for digit in range(10)}
    assert len(set(label[split == "validation"])) == 10
    assert decode_audio(manifest.source(0), 10).sample_rate == 8000
