"""Open a media file with any version of PyAV."""

from importlib.metadata import version
from typing import Any, BinaryIO


def open_container(file: str | BinaryIO, **options: Any) -> Any:
    """PyAV's input container; tags in any encoding do no harm. Raises FFmpegError, ValueError."""
    import av  # 0.3 s to import and seldom needed

    if int(version("av").partition(".")[0]) < 19:  # later versions escape such tags
        options["metadata_errors"] = "ignore"
    return av.open(file, "r", **options)
