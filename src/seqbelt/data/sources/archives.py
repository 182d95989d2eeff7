"""Archives as a source, read in place: zip and tar files of class folders, WebDataset shards."""

import json
import tarfile
import weakref
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from seqbelt.data.sources.file_walk import is_system_name
from seqbelt.data.sources.folders import read_class_folders
from seqbelt.data.sources.manifest import Manifest, make_manifest
from seqbelt.data.sources.names import clean_names, part_of, shorten
from seqbelt.data.sources.raw_tables import distinct_keys
from seqbelt.errors import SettingsError
from seqbelt.features.base import NoContent

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_MEMBER_BYTES = 1 << 30
"""Larger members are refused before anything of them is unpacked."""
LABEL_ENDINGS = (".cls", ".json")
"""Of the WebDataset convention: a sample's label is in ``KEY.cls``, or under ``label`` or ``cls``
in ``KEY.json``."""
NOT_CONTENT = (*LABEL_ENDINGS, ".txt", ".id")
"""Endings of what accompanies a sample."""


def is_archive(path: Path) -> bool:
    """Whether the name ends like that of an archive that can be a source."""
    return path.name.lower().endswith(ENDINGS)


def read_archive(path: Path, split_folders: bool | None, labels_as_written: bool) -> Manifest:
    """The items of an archive: samples of a WebDataset shard, or files in class folders.

    ``shard-000.tar`` takes the shards beside it whose names differ in the last number only; a part
    in their names (``train-000.tar``) is the split. Class folders are read by the rules of
    ``read_class_folders``. Raises SettingsError for an archive that cannot be read or has no items.
    """
    shards = _shards(path)
    members = [member for shard in shards for member in _list_members(shard)]
    if not members:
        raise SettingsError(f"data.source: {path} has no files")
    if any(_ending(member.name) in LABEL_ENDINGS for member in members):
        return _read_samples(members, path, labels_as_written)
    members, top = _without_top_folder([m for m in members if m.archive == path])
    manifest = _read_folders(members, path, split_folders, labels_as_written)
    note = (f"{path}: read from its folder '{top}'",) if top else ()
    return replace(manifest, notes=(*manifest.notes, *note))


def list_archive(path: Path) -> tuple[list[str], Sequence[bytes]]:
    """The names of all files in an archive, without those of systems, and their contents."""
    members = _list_members(path)
    return [member.name for member in members], ArchiveContents(members)


class Member(NamedTuple):
    """A file in an archive; ``name`` as it is read, ``stored`` as the archive has it."""

    archive: Path
    name: str
    stored: str
    num_bytes: int


class ArchiveContents(Sequence[bytes]):
    """The bytes of members, read when they are asked for; archives stay open in between."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: Any) -> Any:
        member = self.members[index]
        if member.num_bytes > MAX_MEMBER_BYTES:
            megabytes = [f"{size / 1e6:,.0f} MB" for size in (member.num_bytes, MAX_MEMBER_BYTES)]
            return NoContent(f"{megabytes[0]} unpacked; at most {megabytes[1]}")
        try:
            return self._reader(member.archive)(member.stored)
        except Exception as error:  # zlib's, lzma's, tarfile's, zipfile's: one item's fault
            return NoContent(f"cannot be read from {member.archive.name}: {error}")

    def __getstate__(self) -> dict[str, Any]:
        return {"members": self.members}  # open archives do not go to other processes

    def _reader(self, archive: Path) -> Callable[[str], bytes]:
        if archive not in self._open:
            file, self._open[archive] = _open_archive(archive)
            weakref.finalize(self, file.close)
        return self._open[archive]

    @cached_property
    def _open(self) -> dict[Path, Callable[[str], bytes]]:
        return {}


def _open_archive(
    archive: Path,
) -> tuple[zipfile.ZipFile | tarfile.TarFile, Callable[[str], bytes]]:
    """An open archive, and a function that reads a member by its stored name."""
    if archive.name.lower().endswith(".zip"):
        opened = zipfile.ZipFile(archive)
        return opened, opened.read
    tar = tarfile.open(archive)  # noqa: SIM115  # it stays open for the next member
    by_name = {info.name: info for info in tar if info.isreg()}

    def read(name: str) -> bytes:
        file = tar.extractfile(by_name[name])
        assert file is not None  # of a regular file there is one
        return file.read()

    return tar, read


def _list_members(archive: Path) -> list[Member]:
    """The files of an archive, without those that systems write."""
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as file:
                infos = [i for i in file.infolist() if not i.is_dir()]
                if locked := [info.filename for info in infos if info.flag_bits & 1]:
                    raise SettingsError(
                        f"data.source: {archive} is encrypted ({shorten(locked, 3)}); unpack it"
                    )
                members = [(info.filename, info.file_size) for info in infos]
        else:
            with tarfile.open(archive) as file:
                members = [(info.name, info.size) for info in file if info.isreg()]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise SettingsError(f"data.source: {archive} cannot be read: {error}") from None
    return [
        Member(archive, str(PurePosixPath(name.replace("\\", "/"))), name, size)
        for name, size in members
        if _is_inside(name) and not any(is_system_name(part) for part in name.split("/"))
    ]


def _is_inside(name: str) -> bool:
    """Whether a name stays below the archive; others are of no honest archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _without_top_folder(members: list[Member]) -> tuple[list[Member], str]:
    """The members without the one folder that holds all of them and further folders."""
    tops = {member.name.partition("/")[0] for member in members}
    is_wrapped = len(tops) == 1 and all(member.name.count("/") > 1 for member in members)
    if not is_wrapped or part_of(next(iter(tops))):
        return members, ""
    top = tops.pop()
    return [m._replace(name=m.name.removeprefix(f"{top}/")) for m in members], top


def _read_folders(
    members: list[Member], path: Path, split_folders: bool | None, labels_as_written: bool
) -> Manifest:
    # Folders of empty files of the same names are read by the rules for folders.
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for member in members:
            file = folder / member.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        try:
            manifest = read_class_folders(folder, split_folders, labels_as_written)
        except SettingsError as error:
            raise SettingsError(str(error).replace(str(folder), str(path))) from None
        except OSError as error:
            raise SettingsError(f"data.source: {path}: {error.strerror}") from None
    by_name = {member.name: member for member in members}
    contents = ArchiveContents([by_name[name] for name in manifest.column("path")])
    notes = [note.replace(str(folder), str(path)) for note in manifest.notes]
    return replace(manifest, contents=contents, root=path.parent, notes=tuple(notes))


def _shards(path: Path) -> list[Path]:
    """The archive and those beside it that differ in the last number of the name only."""
    prefix, number, ending = _shard_prefix(path)
    if not number:
        return [path]
    beside = [other for other in path.parent.iterdir() if is_archive(other)]
    parts = {other: _shard_prefix(other) for other in beside}
    return sorted(other for other, (a, b, c) in parts.items() if b and (a, c) == (prefix, ending))


def _shard_prefix(path: Path) -> tuple[str, str, str]:
    """The name of an archive as prefix, number and ending."""
    ending = next(end for end in ENDINGS if path.name.lower().endswith(end))
    head = path.name[: len(path.name) - len(ending)]
    prefix = head.rstrip("0123456789")
    return prefix, head[len(prefix) :], ending


def _ending(name: str) -> str:
    """All after the first dot of the file's name: WebDataset's keys have none."""
    base = name.rpartition("/")[2]
    return base[base.find(".") :].lower() if "." in base else ""


def _key(name: str) -> str:
    return name[: len(name) - len(_ending(name))]


def _read_samples(members: list[Member], path: Path, labels_as_written: bool) -> Manifest:
    """The samples of WebDataset shards: files of one key, of which one is the label."""
    samples: dict[tuple[Path, str], list[Member]] = {}
    for member in members:
        samples.setdefault((member.archive, _key(member.name)), []).append(member)
    reader = ArchiveContents(members)
    numbers = {member: number for number, member in enumerate(members)}
    kept, labels, ids, splits = list[Member](), list[str](), list[str](), list[str]()
    for (archive, key), files in samples.items():
        content = [file for file in files if _ending(file.name) not in NOT_CONTENT]
        if len(content) != 1:
            names = shorten([file.name for file in files])
            raise SettingsError(
                f"data.source: {archive}: sample '{key}' has {len(content)} files besides its "
                f"label ({names}); expected one"
            )
        label = next((f for f in files if _ending(f.name) in LABEL_ENDINGS), None)
        kept.append(content[0])
        labels.append("" if label is None else _read_label(label, reader[numbers[label]]))
        ids.append(f"{archive.name}/{content[0].name}")
        splits.append(part_of(_shard_prefix(archive)[0].rstrip("-_.")) or "")
    return make_manifest(
        id=ids,
        path=ids,
        label=labels if labels_as_written else clean_names(labels),
        split=splits,
        root=path.parent,
        contents=ArchiveContents(kept),
    )


def _read_label(member: Member, content: bytes) -> str:
    where = f"data.source: {member.archive}: {member.name}"
    if isinstance(content, NoContent):
        raise SettingsError(f"{where} {content.reason}")
    try:
        text = content.decode()
        if _ending(member.name) == ".cls":
            return text.strip()
        values = json.loads(text, object_pairs_hook=distinct_keys)
        label = next(values[name] for name in ("label", "cls") if name in values)
        if not isinstance(label, str | int):
            raise ValueError(f"the label is {label!r}; expected one text or number")
        return str(label)
    except StopIteration:
        raise SettingsError(f"{where} has neither 'label' nor 'cls'") from None
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{where} cannot be read: {error}") from None
