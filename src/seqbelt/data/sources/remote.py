"""Sources in object stores (``s3://``, ``gs://``, ``hf://``) and databases, mirrored locally.

What is mirrored is read like any local file, so that nothing else has a case for it: content keys,
resume, audit and reports are the same. A file is fetched once: it gets the time of change of its
object, and is fetched again where that, or the size, differs. Credentials are those of the clients'
own environment (``AWS_ACCESS_KEY_ID``, ``GOOGLE_APPLICATION_CREDENTIALS``, ``HF_TOKEN``, …).
"""

import os
import posixpath
import random
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pyarrow.fs
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from seqbelt.data.sources.databases import fetch_table, is_database, table_path
from seqbelt.data.sources.manifest import Manifest
from seqbelt.errors import SeqbeltError, SettingsError, first_line
from seqbelt.settings import refuse_address

MIRROR = Path("data/remote")
"""Below it ``SCHEME/BUCKET/KEY``, relative to the working directory."""
WRITTEN = MIRROR / "written"
"""What is uploaded, and its journal: apart from what is mirrored, since it is no source."""
SCHEMES = ("s3", "gs", "hf")
NUM_READERS = 16
"""Objects that are read at the same time."""
NUM_ATTEMPTS = 6
FIRST_WAIT_S = 0.2
"""Before the second attempt; doubled before each further one."""
LIST_FROM = 50
"""Objects of one folder from which the folder is listed and they are not asked for one by one."""
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)})://(.+)", re.IGNORECASE)
T = TypeVar("T")


def is_remote(source: str) -> bool:
    """Whether a source is an address in an object store, or a table of a database."""
    return _ADDRESS.match(source) is not None or is_database(source)


def mirror_path(address: str) -> Path:
    """Where a source is mirrored. Raises SettingsError for an address that holds credentials or
    leads out of the mirror."""
    if is_database(address):
        return table_path(address, MIRROR)
    scheme, key = _parse(address)
    return MIRROR / scheme / key


def fetch(address: str) -> Path:
    """Mirror an object, all objects below a folder, or a table; returns the local path.

    Raises SettingsError where there is nothing, or it may not be read.
    """
    if is_database(address):
        return fetch_table(address, MIRROR)
    scheme, key = _parse(address)
    info = _attempt(lambda: _open(scheme).get_file_info(key), address)
    if info.type == FileType.NotFound:
        raise SettingsError(f"{address}: no such object or folder, or it may not be listed")
    files = [info] if info.type == FileType.File else _list(scheme, key, address)
    if not files:
        raise SettingsError(f"{address}: the folder has no objects")
    _mirror(scheme, files)
    if info.type != FileType.File:
        _remove_others(mirror_path(address), {MIRROR / scheme / file.path for file in files})
    return mirror_path(address)


def output_path(address: str) -> Path:
    """Where a table is written before ``upload``: for an address a file below ``data/remote``.

    Raises SettingsError where nothing can be written at the address.
    """
    if is_database(address):
        raise SettingsError(f"{address}: a database is only read; give a file or s3://BUCKET/KEY")
    if _ADDRESS.match(address) is None:
        try:
            return Path(refuse_address(address))
        except ValueError:
            names = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise SettingsError(f"--output {address}: expected a file, or {names}…") from None
    scheme, key = _parse(address)
    bucket = key.partition("/")[0]
    found = _attempt(lambda: _open(scheme).get_file_info(bucket), address)
    if bucket == key or found.type == FileType.NotFound:
        raise SettingsError(f"{address}: expected {scheme}://BUCKET/KEY of a bucket that exists")
    return WRITTEN / scheme / key


def upload(path: Path, address: str) -> None:
    """Write a file to an address of ``output_path``; readers see all of it or none."""
    scheme, key = _parse(address)

    def write() -> None:
        with path.open("rb") as source, _open(scheme).open_output_stream(key) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    _attempt(write, address, "written")
    size = _attempt(lambda: _open(scheme).get_file_info(key), address).size
    if size != path.stat().st_size:
        raise SeqbeltError(
            f"{address}: {size:,} of {path.stat().st_size:,} bytes were written; the whole file is "
            f"{path}; run the same command again"
        )


def fetch_listed(manifest: Manifest) -> Manifest:
    """Mirror the files that a manifest names: by addresses, or relative to a mirrored manifest."""
    if "path" not in manifest.table.column_names or manifest.contents:
        return manifest
    base = _address_of(manifest.root)
    columns = ["path", *(["segments"] if "segments" in manifest.table.column_names else [])]
    if manifest.joined is not None:
        columns += manifest.joined.path_columns
    overrides, wanted = dict(manifest.overrides), set[str]()
    for name in dict.fromkeys(columns):
        paths: dict[int, str] = {}
        for row, path in enumerate(manifest.paths(name)):
            if _ADDRESS.match(path):
                wanted.add(path)
                paths[row] = str(mirror_path(path).absolute())
            elif base is not None and path and not path.startswith("/"):
                scheme, _, folder = base.partition("://")
                wanted.add(f"{scheme}://{posixpath.normpath(posixpath.join(folder, path))}")
        if paths:
            overrides[name] = {**overrides.get(name, {}), **paths}
    _fetch_all(wanted)
    return replace(manifest, overrides=overrides)


def _fetch_all(addresses: Iterable[str]) -> None:
    """Mirror objects; those that are not there are left out, and cost their row."""
    folders: dict[tuple[str, str], list[str]] = {}
    for address in addresses:
        scheme, key = _parse(address)
        folders.setdefault((scheme, posixpath.dirname(key)), []).append(key)
    for (scheme, folder), keys in folders.items():
        address = f"{scheme}://{folder}"
        if len(keys) < LIST_FROM:
            infos = _attempt(lambda s=scheme, k=keys: _open(s).get_file_info(k), address)
        else:
            listed = {info.path: info for info in _list(scheme, folder, address, False)}
            infos = [listed[key] for key in keys if key in listed]
        _mirror(scheme, [info for info in infos if info.type == FileType.File])


def _mirror(scheme: str, infos: Sequence[FileInfo]) -> None:
    """Fetch the objects whose mirrored file is not theirs."""
    stale = [info for info in infos if not _is_current(MIRROR / scheme / info.path, info)]
    with ThreadPoolExecutor(NUM_READERS, "fetch") as pool:
        futures = [pool.submit(_fetch_one, scheme, info) for info in stale]
        try:
            for future in futures:
                future.result()
        finally:  # after an error, and on Ctrl-C, begin no further object
            for future in futures:
                future.cancel()


def _remove_others(folder: Path, kept: Collection[Path]) -> None:
    """Remove mirrored files whose objects are no longer there."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


def _is_current(path: Path, info: FileInfo) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    # Without a time of change the object may be another one of the same size.
    return info.mtime_ns is not None and (status.st_size, status.st_mtime_ns) == (
        info.size, info.mtime_ns,
    )  # fmt: skip


def _fetch_one(scheme: str, info: FileInfo) -> None:
    path = MIRROR / scheme / info.path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Apart from the mirrored folders: what a kill leaves there is no item.
    partial = MIRROR / "partial" / f"{os.getpid()}-{uuid4().hex}"
    partial.parent.mkdir(exist_ok=True)

    def read() -> None:
        with _open(scheme).open_input_stream(info.path) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        if info.size is not None and partial.stat().st_size != info.size:
            raise OSError(f"{partial.stat().st_size} of {info.size} bytes were read")

    try:
        _attempt(read, f"{scheme}://{info.path}")
        if info.mtime_ns is not None:
            os.utime(partial, ns=(info.mtime_ns, info.mtime_ns))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _list(scheme: str, folder: str, address: str, recursive: bool = True) -> list[FileInfo]:
    selector = FileSelector(folder, allow_not_found=True, recursive=recursive)
    infos = _attempt(lambda: _open(scheme).get_file_info(selector), address)
    return [info for info in infos if info.type == FileType.File]


def _attempt(work: Callable[[], T], address: str, done: str = "read") -> T:
    """Call ``work`` again, ever later, where the store or the network fails."""
    for attempt in range(NUM_ATTEMPTS):
        try:
            return work()
        except (PermissionError, FileNotFoundError) as error:
            raise SettingsError(f"{address}: {first_line(error, 300)}") from None
        except OSError as error:
            is_refused = "ACCESS_DENIED" in str(error) or "Access Denied" in str(error)
            if is_refused or attempt + 1 == NUM_ATTEMPTS:
                raise SettingsError(
                    f"{address}: cannot be {done}: {first_line(error, 300)}; credentials are read "
                    "from the environment alone (AWS_ACCESS_KEY_ID, "
                    "GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN)"
                ) from None
            time.sleep(FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5))
    raise AssertionError


def _parse(address: str) -> tuple[str, str]:
    """Scheme, and bucket with key. Raises SettingsError."""
    match = _ADDRESS.fullmatch(address.strip())
    if match is None:
        raise SettingsError(
            f"{address}: expected {', '.join(f'{scheme}://…' for scheme in SCHEMES)}"
        )
    scheme, key = match[1].lower(), match[2].rstrip("/")
    bucket = key.partition("/")[0]
    if ":" in bucket and "@" in bucket:
        hidden = f"{scheme}://…@{bucket.rpartition('@')[2]}"
        raise SettingsError(
            f"{hidden}: credentials in an address would be logged; remove them, and set those of "
            "the client's environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    if not bucket or ".." in key.split("/"):
        raise SettingsError(f"{address}: is not the address of an object or a folder")
    return scheme, key


def _address_of(path: Path) -> str | None:
    """The address that a folder of the mirror is of; None for any other folder."""
    try:
        scheme, *key = path.absolute().relative_to(MIRROR.absolute()).parts
    except ValueError:
        return None
    return f"{scheme}://{'/'.join(key)}" if key and scheme in SCHEMES else None


@cache
def _open(scheme: str) -> FileSystem:
    """The client of a store. Raises SettingsError where its package is missing."""
    if scheme == "s3":
        named: Mapping[str, str | None] = {
            "endpoint_override": os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL"),
            "region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        }
        given = {name: value for name, value in named.items() if value}
        retries = pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=3)
        return pyarrow.fs.S3FileSystem(retry_strategy=retries, **given)
    if scheme == "gs":
        return pyarrow.fs.GcsFileSystem()
    try:
        from huggingface_hub import HfFileSystem
    except ImportError:
        raise SettingsError(
            "hf://…: huggingface_hub cannot be imported; pip install huggingface_hub"
        ) from None
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(HfFileSystem()))
