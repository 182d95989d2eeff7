import pytest

from seqbelt.data.sources import catalogue
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError


def test_a_folder_a_manifest_and_its_settings_are_sources(tmp_path, wav_folder):
    assert sorted(set(Data(source=str(wav_folder)).load().column("label"))) == ["high", "low"]
    (tmp_path / "m.tsv").write_text("".join(f"{n}.wav\t{n % 2}\n" for n in range(20)))
    manifest = Data(
        source=str(tmp_path / "m.tsv"), header=("path", "label"), validation_fraction=0.1
    ).load()
    assert len(manifest) == 20
    assert set(manifest.column("split")) == {"train", "validation", "test"}


def test_a_source_that_is_nothing_names_itself_and_the_known_sets():
    with pytest.raises(SettingsError, match=r"data\.source: 'nowhere'.*fsdd"):
        Data(source="nowhere").load()


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(SettingsError, match=r"a\.wav"):
        Data(source=str(tmp_path / "a.wav")).load()


@pytest.mark.parametrize(
    "content",
    ["path\na\nb\n", "path,label\na,\nb,\n"],
    ids=["no-column", "empty-column"],
)
def test_a_source_without_any_label_names_file_and_setting(tmp_path, content):
    (tmp_path / "m.csv").write_text(content)
    data = Data(source=str(tmp_path / "m.csv"))
    with pytest.raises(SettingsError, match=r"m\.csv.*'label'.*data\.label_column"):
        data.load()
    assert len(data.list_items()) == 2  # what is to be predicted needs no labels


def test_a_file_or_folder_goes_before_a_known_set_of_the_same_name(
    tmp_path, monkeypatch, wav_folder
):
    monkeypatch.chdir(tmp_path)
    wav_folder.rename(tmp_path / "fsdd")
    monkeypatch.setattr(catalogue, "find_known_set", lambda name: pytest.fail("fetched"))
    assert len(Data(source="fsdd").list_items()) == 8


def test_a_known_set_is_found_by_name(tmp_path, monkeypatch, wav_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "find_known_set", lambda name: wav_folder)
    assert len(Data(source="fsdd").list_items()) == 8


@pytest.mark.parametrize("fraction", [-0.1, 0.6])
def test_fractions_are_shares_of_at_most_a_half(fraction):
    with pytest.raises(SettingsError, match="test_fraction"):
        Data.parse({"source": "x", "test_fraction": fraction})
