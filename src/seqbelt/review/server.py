"""The page and its server: one process, on the loopback interface only.

Every request needs the session's cookie, which the address with the token sets; other pages that a
browser has open cannot send it (SameSite), and a name that is rebound to 127.0.0.1 is refused by
its Host header. Items are addressed by number, so that no other file can be read.
"""

import contextlib
import hmac
import secrets
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import numpy as np
from flask import Flask, Response, abort, redirect, render_template_string, request
from werkzeug.exceptions import HTTPException

from seqbelt.errors import BadInput, SeqbeltError
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.joined_inputs import Part, parts_of
from seqbelt.plots.item_view import kind_of
from seqbelt.plots.report_page import Words
from seqbelt.review.decisions import Decisions
from seqbelt.review.items import SECTIONS, ReviewItems
from seqbelt.review.media import describe_content, picture_of, wav_of
from seqbelt.texts import ENGLISH, Language
from seqbelt.texts.review import REVIEW

HOSTS = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "seqbelt-review"
MAX_ROWS, MAX_FOLDERS, NUM_CACHED = 200, 500, 64
"""Items of one response, folders in the filter, pictures and sounds in memory."""
MIN_WIDTH, MAX_WIDTH = 240, 1000
"""Of a picture of channels, in pixels."""
PAGE_FILES = {"page.css": "text/css", "page.js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def create_app(
    items: ReviewItems,
    decisions: Decisions,
    token: str,
    port: int = 0,
    language: Language = ENGLISH,
) -> Flask:
    """The application; ``token`` opens it; requests for another ``port`` than this are
    refused (0: none are)."""
    app = Flask("seqbelt.review", static_folder=None)
    words = Words(language)
    _add_access_checks(app, token, port)
    _add_error_messages(app, words, decisions)
    _add_page(app, words)
    _add_items(app, items, decisions, words)
    _add_decisions(app, items, decisions)
    _add_media(app, items)
    return app


def _add_access_checks(app: Flask, token: str, port: int) -> None:
    """Refuse requests from elsewhere, and tell the browser to allow none."""
    cookie = f"{COOKIE}-{port}"  # a browser sends the cookies of one port to all others

    @app.before_request
    def check_request() -> Response | None:
        name, _, asked_port = request.host.rpartition(":")
        if not asked_port.isdigit():
            name, asked_port = request.host, "80"
        if name not in HOSTS or (port and asked_port != str(port)):
            abort(403, "this server answers to 127.0.0.1 and localhost only")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            abort(403, "another page sent this request")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            abort(403, "another page sent this request")
        if request.path == "/" and _is(token, request.args.get("token", "")):
            response = redirect("/")
            response.set_cookie(cookie, token, httponly=True, samesite="Strict")
            return response  # type: ignore[return-value]  # werkzeug's response is flask's here
        if not _is(token, request.cookies.get(cookie, "")):
            abort(403, "open the address that 'seqbelt review' printed, with its token")
        if request.method == "POST" and not request.is_json:
            abort(415, "expected JSON")
        return None

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response


def _add_error_messages(app: Flask, words: Words, decisions: Decisions) -> None:
    """Answer errors with ``{"error": message}``."""

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"error": str(error.description)}, error.code or 500

    @app.errorhandler(SeqbeltError)
    def fail(error: SeqbeltError) -> tuple[dict[str, str], int]:
        message = words.write(error.args[0])
        if isinstance(error, BadInput):
            message = f"{words.reason(error.reason)}: {message}"
        return {"error": message}, 422

    @app.errorhandler(OSError)
    def fail_to_save(error: OSError) -> tuple[dict[str, str], int]:
        return {"error": f"{error.filename or decisions.path}: {error.strerror}"}, 500


def _add_page(app: Flask, words: Words) -> None:
    """The page and its files."""
    page = files("seqbelt.review") / "page"

    @app.get("/")
    def show_page() -> Response:
        template = (page / "page.html").read_text("utf-8")
        return Response(
            render_template_string(template, words=words, language=words.language),
            mimetype="text/html",
        )

    @app.get("/page/<name>")
    def show_file(name: str) -> Response:
        if name not in PAGE_FILES:
            abort(404, "no such file")
        return Response((page / name).read_text("utf-8"), mimetype=PAGE_FILES[name])

    @app.get("/favicon.ico")
    def show_no_icon() -> Response:
        return Response(status=204)


def _add_items(app: Flask, items: ReviewItems, decisions: Decisions, words: Words) -> None:
    """What the page asks about items."""

    @app.get("/api/summary")
    def summarize() -> dict[str, Any]:
        return {
            "title": words.write(items.title),
            "texts": _page_texts(words),
            "percent": words.percent(0),
            "kind": kind_of(items.features),
            "classes": items.classes,
            "is_several": items.decision.target.is_several,
            "remarks": [*map(words.write, [*items.remarks, *decisions.remarks])],
            "corrections": str(decisions.path),
            "folders": _folders(items),
            **_progress(items, decisions),
        }

    @app.get("/api/items")
    def list_items() -> dict[str, Any]:
        arguments = request.args
        filtered = _filtered(items, decisions, arguments.get)
        offset = max(0, arguments.get("offset", 0, int))
        limit = min(MAX_ROWS, max(0, arguments.get("limit", 50, int)))
        rows = filtered[offset : offset + limit].tolist()
        return {"total": len(filtered), "items": [_brief(items, decisions, item) for item in rows]}

    @app.get("/api/items/<int:item>")
    def describe(item: int) -> dict[str, Any]:
        about = _brief(items, decisions, _known(items, item))
        if items.is_predicted[item]:
            about["probabilities"] = items.probabilities[item].round(4).tolist()
        return about | describe_content(items.features, items.source(item))


def _add_decisions(app: Flask, items: ReviewItems, decisions: Decisions) -> None:
    """What the page decides about labels."""

    @app.post("/api/decide")
    def decide() -> dict[str, Any]:
        asked = request.get_json()
        item, label = asked.get("item"), asked.get("label")
        if type(item) is not int or not isinstance(label, str):
            abort(400, "expected an item's number and a label")
        decisions.decide(_known(items, item), label)
        return _progress(items, decisions)

    @app.post("/api/undo")
    def undo() -> dict[str, Any]:
        item = decisions.undo()
        about = None if item is None else _brief(items, decisions, item)
        return {"undone": about, **_progress(items, decisions)}


def _add_media(app: Flask, items: ReviewItems) -> None:
    """Pictures and sounds of items."""

    def asked_input(item: int) -> tuple[int, Part]:
        """The place of the input that a request for an item is for, and the input."""
        at, parts = request.args.get("input", 0, int), parts_of(items.features, items.source(item))
        if not 0 <= at < len(parts) or parts[at].source is None:
            abort(404, f"item {item} has no input {at}")
        return at, parts[at]

    @lru_cache(NUM_CACHED)
    def picture(item: int, at: int, width: int) -> tuple[bytes, str]:
        _, features, source = parts_of(items.features, items.source(item))[at]
        assert source is not None
        return picture_of(features, source, width)

    @lru_cache(NUM_CACHED)
    def sound(item: int, at: int) -> bytes:
        _, features, source = parts_of(items.features, items.source(item))[at]
        assert isinstance(features, AudioFeatures) and source is not None
        return wav_of(features, source)

    @app.get("/media/<int:item>/picture")
    def show_picture(item: int) -> Response:
        width = min(MAX_WIDTH, max(MIN_WIDTH, request.args.get("width", MAX_WIDTH, int)))
        at, _ = asked_input(_known(items, item))
        content, media_type = picture(item, at, width)
        response = Response(content, mimetype=media_type)
        response.headers["Content-Security-Policy"] = _PICTURE_POLICY
        return response

    @app.get("/media/<int:item>/sound")
    def play(item: int) -> Response:
        at, part = asked_input(_known(items, item))
        if not isinstance(part.features, AudioFeatures):
            abort(404, "these items have no sound")
        response = Response(sound(item, at), mimetype="audio/wav")
        response.make_conditional(request, accept_ranges=True, complete_length=len(response.data))
        return response


def _known(items: ReviewItems, item: int) -> int:
    """The number of an item, if there is such an item."""
    if not 0 <= item < len(items):
        abort(404, f"no item {item}; there are {len(items)}")
    return item


def _page_texts(words: Words) -> dict[str, str]:
    """The texts that the page fills in itself, by what follows ``review_`` in their keys."""
    start = "review_"
    return {
        key.removeprefix(start): REVIEW[key][words.language == "ko"]
        for key in REVIEW
        if key.startswith(start)
    }


def _is(token: str, given: str) -> bool:
    return hmac.compare_digest(token.encode(), given.encode())


def _brief(items: ReviewItems, decisions: Decisions, item: int) -> dict[str, Any]:
    confidence = None
    if items.is_predicted[item]:
        confidence = float(items.decision.confidence(items.probabilities[item]))
    return {
        "item": item,
        "name": items.names[item],
        "label": items.labels[item],
        "predicted": items.predicted_label(item),
        "confidence": confidence,
        "section": SECTIONS[items.sections[item]],
        "decision": decisions.labels.get(item, ""),
    }


def _progress(items: ReviewItems, decisions: Decisions) -> dict[str, Any]:
    counts = np.bincount(items.sections, minlength=len(SECTIONS)).tolist()
    reviewed = np.bincount(items.sections[decisions.is_decided], minlength=len(SECTIONS)).tolist()
    rate = decisions.error_rate()
    return {
        "num_items": len(items),
        "num_reviewed": len(decisions.labels),
        "num_changed": decisions.num_changed,
        "sections": [
            {"name": name, "num_items": count, "num_reviewed": done}
            for name, count, done in zip(SECTIONS, counts, reviewed, strict=True)
        ],
        "error_rate": rate and rate._asdict(),
    }


def _folders(items: ReviewItems) -> list[dict[str, Any]]:
    """The folders with the most items, by name."""
    names, codes = items.folders
    counts = np.bincount(codes, minlength=len(names))
    largest = sorted(np.argsort(-counts, kind="stable")[:MAX_FOLDERS].tolist())
    return [{"name": names[code], "num_items": int(counts[code])} for code in largest]


def _filtered(
    items: ReviewItems, decisions: Decisions, asked: Callable[[str], str | None]
) -> np.ndarray:
    """The items that the filters of a request leave, in the order of the review."""
    keep = np.ones(len(items), bool)
    state = asked("state")
    if state in ("open", "reviewed"):
        keep &= decisions.is_decided == (state == "reviewed")
    if (section := asked("section")) in SECTIONS:
        keep &= items.sections == SECTIONS.index(section)
    if name := asked("class"):
        keep &= items.has_class[:, items.classes.index(name)] if name in items.classes else False
    folder = asked("folder")
    if folder is not None:
        names, codes = items.folders
        keep &= codes == (names.index(folder) if folder in names else -1)
    return items.order[keep[items.order]]


def serve(
    items: ReviewItems,
    decisions: Decisions,
    port: int,
    on_start: Callable[[str], object],
    language: Language = ENGLISH,
) -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C; ``on_start`` is called with its address.

    Port 0 takes a free one. Raises SeqbeltError if the port is in use.
    """
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    token = secrets.token_urlsafe(24)
    try:
        server = make_server("127.0.0.1", port, _starting, threaded=True)
    except (OSError, SystemExit) as error:  # werkzeug exits
        raise SeqbeltError(
            f"--port {port}: cannot be listened on ({error}); choose another one"
        ) from None
    server.app = create_app(items, decisions, token, server.server_port, language)
    with contextlib.closing(server.socket), contextlib.suppress(KeyboardInterrupt):
        on_start(f"http://127.0.0.1:{server.server_port}/?token={token}")
        server.serve_forever()


def _starting(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("503 Service Unavailable", [])
    return []
