"""From a messy folder to a registered model in two commands: ``init`` and ``train``.

    python benchmarks/init_folders.py [FOLDER]

generates twelve folders and tables as people keep them below FOLDER (by default a temporary one):
ten that must train without an edit of the config, and two that must be refused with the reason
that fits. Prints a row for each and exits with 1 if one is not as it must be. Trainings are short.
"""

import contextlib
import csv
import datetime
import io
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
import xlsxwriter
import yaml

from seqbelt.cli import main

SHORT = ("training.num_epochs=4", "model.hidden_size=16", "training.device=cpu")
Random = np.random.Generator


class Case(NamedTuple):
    """A messy source and what must come of it."""

    make: Callable[[Path, Random], None]
    name: str
    """Of the folder or table, below the working folder."""
    expected: str
    """Kind of features that ``init`` must choose; of a refused source, words of the reason."""
    num_items: int = 0
    """Items that must be in the parts of the store; 0 where the source must be refused."""


def tone(at: Path, random: Random, hz: float, rate: int = 8000) -> None:
    """A sound of about half a second whose pitch tells the class."""
    at.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(rate * random.uniform(0.3, 0.7))) / rate
    noise = 0.1 * random.normal(size=len(times))
    soundfile.write(at, 0.3 * np.sin(2 * np.pi * hz * times) + noise, rate)


def write(at: Path, lines: list[str], encoding: str = "utf-8") -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes("\r\n".join([*lines, ""]).encode(encoding))


def reviews(random: Random, count: int) -> list[tuple[str, str]]:
    """Korean texts with their labels."""
    words = {
        "긍정": ("정말 좋아요", "아주 만족합니다", "예쁘고 튼튼해요", "또 살게요"),
        "부정": ("정말 별로예요", "환불하고 싶네요", "금방 고장났어요", "냄새가 나요"),
    }
    things = ("배송", "포장", "색상", "크기", "품질", "가격")
    rows = []
    for number in range(count):
        label = ("긍정", "부정")[number % 2]
        text = (
            f"{random.choice(things)}, {random.choice(things)} 모두 {random.choice(words[label])}"
        )
        rows.append((f"{text} {number}", label))
    return rows


def sounds_with_litter(at: Path, random: Random) -> None:
    """Endings and rates mixed, files of other programs between, one broken recording."""
    for number in range(30):
        label, hz = (("Dog", 300), ("cat", 900), ("새", 1800))[number % 3]
        ending = ("wav", "WAV", "flac", "ogg")[number % 4]
        tone(at / label / f"rec {number}.{ending}", random, hz, (16000, 8000)[number % 5 == 0])
    for litter in (".DS_Store", "Dog/Thumbs.db", "Dog/._rec 0.wav", "notes.txt"):
        (at / litter).write_bytes(b"\x00\x05\x16\x07")
    (at / "cat/broken.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVE")


def split_folders(at: Path, random: Random) -> None:
    """Parts under the names of one tool, classes with sub-folders, an unrelated folder beside."""
    for number in range(36):
        part, label = ("Training", "Training", "Validierung", "Test")[number % 4], number // 4 % 2
        folder = at / ("train", "val", "test")[("Training", "Validierung", "Test").index(part)]
        tone(
            folder / ("on", "off")[label] / f"day{number % 3}/{number}.wav",
            random,
            400 + 900 * label,
        )
    write(at / "docs/readme.md", ["# recordings"])


def labels_in_names(at: Path, random: Random) -> None:
    """No folders: the label is the beginning of the name."""
    for number in range(24):
        label = number % 2
        tone(at / f"{('stop', 'go')[label]}_{number:03}.wav", random, 400 + 900 * label)


def speakers_in_names(at: Path, random: Random) -> None:
    """Class folders, with who was recorded in the name: whole speakers must stay in one part."""
    for number in range(48):
        label = number % 2
        name = f"speaker{number // 6:02}_{number}.wav"
        tone(at / ("yes", "no")[label] / name, random, 400 + 900 * label)


def workbook_with_titles(at: Path, random: Random) -> None:
    """Titles above the header, dates, an empty column, a second empty sheet, a row without text."""
    with xlsxwriter.Workbook(at, {"default_date_format": "yyyy-mm-dd"}) as workbook:
        sheet = workbook.add_worksheet("리뷰")
        workbook.add_worksheet("Sheet2")
        sheet.write_row(0, 0, ["고객 리뷰 2024년"])
        sheet.write_row(2, 0, ["번호", "작성일", "", "리뷰", "감정"])
        for row, (text, label) in enumerate([*reviews(random, 60), ("", "긍정")], start=3):
            sheet.write(row, 0, row - 2)
            sheet.write(row, 1, datetime.date(2024, 1, 1) + datetime.timedelta(days=row))
            if text:
                sheet.write(row, 3, text)
            sheet.write(row, 4, label)


def korean_csv(at: Path, random: Random) -> None:
    """What Excel writes in Korea: CP949; the text is not the first column."""
    rows = reviews(random, 60)
    lines = [f'{n},{4 + n % 2},"{text}",{label}' for n, (text, label) in enumerate(rows)]
    write(at, ["번호,별점수,내용,분류", *lines], "cp949")


def sensor_logs(at: Path, random: Random) -> None:
    """Semicolons, decimal commas, dates, a row of units, a byte-order mark."""
    for number in range(24):
        label, lines = number % 2, ["Zeit;Beschleunigung;Temperatur", "[s];[m/s²];[°C]"]
        start = datetime.datetime(2024, 3, 1 + number, 8)
        for step in range(60 + number):
            time_of = start + datetime.timedelta(milliseconds=20 * step)
            values = np.sin(step * (0.3 + 0.6 * label)) + 0.2 * random.normal(), 20 + step / 100
            cells = [f"{value:.3f}".replace(".", ",") for value in values]
            stamp = time_of.strftime("%d.%m.%Y %H:%M:%S.%f")[:-3]
            lines.append(";".join([stamp, *cells]))
        write(at / ("normal", "defekt")[label] / f"log{number}.csv", lines, "utf-8-sig")


def list_beside_files(at: Path, random: Random) -> None:
    """A list with Windows paths and columns of its own names, one file missing."""
    lines = ["Datei;Klasse;Patient;Bemerkung"]
    for number in range(30):
        label = number % 2
        tone(at / f"wav/{number}.wav", random, 400 + 900 * label)
        lines.append(f"wav\\{number}.wav;{('gesund', 'krank')[label]};P{number // 3};ok")
    (at / "wav/29.wav").unlink()
    write(at / "liste.csv", lines, "cp1252")


def mixed_arrays(at: Path, random: Random) -> None:
    """Arrays of other types and lengths, one with NaN, one that is empty."""
    for number in range(26):
        label = number % 2
        values = random.normal(size=(20 + number, 6))
        values[:, label] += 2 * np.sin(np.arange(20 + number) / (2 + 4 * label))
        if number == 3:
            values[4, 2] = np.nan
        if number == 5:
            values = values[:0]
        folder = at / ("walk", "run")[label]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number}.npy", values.astype((np.float32, np.float64)[number % 3 == 0]))


def clips(at: Path, random: Random) -> None:
    """Clips in two containers, of different sizes and rates."""
    for number in range(24):
        label, size = number % 2, (48, 64)[number % 3 == 0]
        name = f"clip {number}.{('mp4', 'avi')[number % 4 == 0]}"
        path = at / ("left", "right")[label] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        num_frames = 14 + number % 6
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=(10, 15)[number % 2])
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            for frame in range(num_frames):
                picture = random.integers(0, 40, (size, size, 3), np.uint8)
                at_share = frame / num_frames if label else 1 - frame / num_frames
                left = int(at_share * (size - 10))
                picture[10:20, left : left + 10] = 220
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())


def several_kinds(at: Path, random: Random) -> None:
    """Sounds and clips in the same class folders: one model reads one kind."""
    for number in range(20):
        tone(at / ("a", "b")[number % 2] / f"{number}.wav", random, 400)
    for number in range(4):
        write(at / "a" / f"{number}.csv", ["x,y", "1,2", "3,4", "5,6"])


def two_label_columns(at: Path, random: Random) -> None:
    """Two columns that may be the labels: nobody but the user can tell."""
    with at.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "mood", "topic"])
        for number, (text, label) in enumerate(reviews(random, 30)):
            rows.writerow([text, label, ("shop", "film", "food")[number % 3]])


CASES = (
    Case(sounds_with_litter, "recordings", "log_mel", 30),
    Case(split_folders, "split", "log_mel", 36),
    Case(labels_in_names, "flat", "log_mel", 24),
    Case(speakers_in_names, "speakers", "log_mel", 48),
    Case(workbook_with_titles, "리뷰.xlsx", "jamo", 60),
    Case(korean_csv, "상품평.csv", "jamo", 60),
    Case(sensor_logs, "sensors", "channels", 24),
    Case(list_beside_files, "patients", "log_mel", 29),
    Case(mixed_arrays, "arrays", "channels", 24),
    Case(clips, "clips", "frame_differences", 24),
    Case(several_kinds, "mixed", "files of several kinds"),
    Case(
        two_label_columns,
        "moods.csv",
        "2 columns could be the label; choose one: data.label_column=mood",
    ),
)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a command in this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main(["--quiet", *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return int(code), printed.getvalue()


def try_case(case: Case) -> str:
    """Generate a source in the working folder and run both commands; "" if all is as it must be,
    else what is not. Prints a row."""
    source = Path(case.name)
    case.make(source, np.random.default_rng(zlib.crc32(case.name.encode())))
    started = time.perf_counter()
    code, output = run("init", str(source), "--output", "found.yaml", "--force")
    fault, result = "", ""
    if not case.num_items:
        result = output.strip().splitlines()[-1] if output.strip() else ""
        if code != 2 or case.expected not in result:
            fault = f"expected to be refused with '{case.expected}'"
    elif code:
        fault = f"init failed: {output.strip()}"
    else:
        config = Path("found.yaml").read_text("utf-8")
        kind = yaml.safe_load(config)["features"]["kind"]
        code, output = run("train", "found.yaml", *SHORT)
        values = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
        result = f"{kind}; {values.get('model_uri')}"
        if code:
            fault = f"train failed: {output.strip()}"
        elif kind != case.expected:
            fault = f"features.kind: {kind}, expected {case.expected}"
        elif "model_uri" not in values:
            fault = f"no model registered: {output.strip()}"
        else:
            code, output = run("prepare", "found.yaml", "--json")
            num_sequences = yaml.safe_load(output.splitlines()[-1])["num_sequences"]
            result += f"; {num_sequences} sequences"
            if num_sequences != case.num_items:
                fault = f"{num_sequences} sequences, expected {case.num_items}"
    seconds = time.perf_counter() - started
    print(
        f"{'FAIL' if fault else 'ok':4} {case.name:12} {seconds:5.1f} s  {fault or result}",
        flush=True,
    )
    return fault


def try_all(folder: Path, names: list[str] | None = None) -> int:
    """Number of cases that are not as they must be."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        faults = [try_case(case) for case in CASES if not names or case.name in names]
    finally:
        os.chdir(before)
    return sum(map(bool, faults))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        num_faults = try_all(Path(sys.argv[1]), sys.argv[2:])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            num_faults = try_all(Path(temporary))
    raise SystemExit(bool(num_faults))
