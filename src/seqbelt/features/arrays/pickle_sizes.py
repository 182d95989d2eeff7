"""How large the values of a torch file's pickle are once shared parts are written out.

torch's safe loader runs no code, but it hashes what a dictionary has for keys, and a tuple of
tuples of tuples, each named twice, is 2^n long though its file has n lines.
"""

import io
import pickletools
import zipfile
from typing import Any

from seqbelt.errors import TOO_LONG, UNREADABLE, BadInput

MAX_VALUES = 10_000_000
"""Values of a pickle, shared ones counted wherever they stand."""
MAX_PICKLE_BYTES = 64 << 20
"""A pickle names tensors; their numbers are beside it."""
_MARK = -1


def check_pickle(content: bytes) -> None:
    """Raise BadInput for a torch file whose pickle unfolds to more values than any has."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        for info in file.infolist():
            if info.filename.endswith("/data.pkl"):
                if info.file_size > MAX_PICKLE_BYTES:
                    raise BadInput(TOO_LONG, f"a pickle of {info.file_size} bytes")
                _check(file.read(info))


def _check(pickle: bytes) -> None:
    stack: list[int] = []
    memo: dict[int, int] = {}
    sizes = 0
    try:
        argument: Any  # None for an operation without one; the ones that are read have one
        for opcode, argument, _ in pickletools.genops(pickle):
            name = opcode.name
            if name == "MARK":
                stack.append(_MARK)
                continue
            if name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
                memo[len(memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
                continue
            if name in ("BINGET", "LONG_BINGET", "GET"):
                stack.append(memo[int(argument)])
                continue
            size = 1
            for taken in reversed(opcode.stack_before):
                if taken is pickletools.stackslice:
                    while (part := stack.pop()) != _MARK:
                        size += part
                elif taken is not pickletools.markobject:
                    size += stack.pop()
            stack.extend([size] * len(opcode.stack_after))
            sizes = max(sizes, size)
            if sizes > MAX_VALUES:
                raise BadInput(TOO_LONG, f"a pickle that unfolds to more than {MAX_VALUES} values")
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise BadInput(UNREADABLE, f"a damaged pickle ({error})") from None
