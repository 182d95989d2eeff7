"""The ``report`` section."""

from collections.abc import Iterable
from typing import Self

from seqbelt.settings import Settings, override
from seqbelt.texts import Language


class ReportSettings(Settings):
    """How the pages for readers are written: the reports of a comparison and of a prediction, and
    the page of a review."""

    language: Language = "en"
    """Language of the pages: English or Korean."""
    group_by: str | None = None
    """Manifest column by whose values the report of a prediction is divided; null divides by
    sub-folders."""

    @classmethod
    def of(cls, arguments: Iterable[str]) -> Self:
        """The settings of ``report.KEY=VALUE`` arguments. Raises SettingsError."""
        return cls.parse(override({"report": {}}, arguments)["report"], origin="report")
