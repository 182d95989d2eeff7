"""Arrays of .npy, .npz, .pt, .mat and HDF5 files: never unpickled, no larger than is allowed."""

import io
import math
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np

from seqbelt.errors import TOO_LONG, TRUNCATED, WRONG_TYPE, BadInput
from seqbelt.features.arrays.array import Array
from seqbelt.features.arrays.mat_format import check_mat
from seqbelt.features.arrays.pickle_sizes import check_pickle
from seqbelt.features.arrays.table_layout import TableOptions

T = TypeVar("T")

NPY_SIGNATURE = b"\x93NUMPY"
MAX_NAME = 60
"""Letters of a name that an error shows."""
MAX_NAMES = 20
"""Names that an error shows."""
MAX_ITEMS = 10_000
"""Groups and data sets of a file that are looked at."""
MAX_DEPTH = 64
"""How deep they may lie."""


def refuse_size(num_bytes: float, max_bytes: float) -> None:
    """Raise BadInput for more than ``features.max_size_mb`` allows."""
    if num_bytes > max_bytes:
        allowed = f"features.max_size_mb allows {max_bytes / 1e6:g}"
        raise BadInput(TOO_LONG, f"{num_bytes / 1e6:.4g} MB; {allowed}")


def choose(arrays: Mapping[str, T], key: str | None) -> T:
    """The array named ``key``, or the only one."""
    if key is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    shown = [name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…" for name in arrays]
    found = ", ".join(shown[:MAX_NAMES]) or "none"
    found += f" and {len(shown) - MAX_NAMES} more" if len(shown) > MAX_NAMES else ""
    if key is None:
        raise BadInput(WRONG_TYPE, f"name one of its arrays in features.key; found: {found}")
    if key not in arrays:
        raise BadInput(WRONG_TYPE, f"no array named '{key}' (features.key); found: {found}")
    return arrays[key]


def parse_npy(content: bytes, max_bytes: float) -> np.ndarray:
    """The array of a .npy file whose header states no more bytes than there are, or are allowed."""
    file = io.BytesIO(content)
    major, _ = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise BadInput(WRONG_TYPE, "an array of Python objects, which only a pickle could restore")
    num_bytes = math.prod(shape) * dtype.itemsize
    refuse_size(num_bytes, max_bytes)
    if len(content) - file.tell() < num_bytes:
        raise BadInput(TRUNCATED, f"{len(content) - file.tell()} of {num_bytes} bytes are there")
    if content.startswith(NPY_SIGNATURE, file.tell() + num_bytes):
        raise BadInput(
            WRONG_TYPE, "several arrays one after the other, of which NumPy reads the first: save "
            "each to a file of its own"
        )  # fmt: skip
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def read_torch(content: bytes, max_bytes: float, key: str | None) -> np.ndarray:
    """The only tensor of torch.save, or the one named ``key``."""
    import torch

    check_pickle(content)
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UnpicklingError:  # its text proposes to run the code
        raise BadInput(
            WRONG_TYPE, "a pickle of other objects than tensors, which could run code: save a "
            "tensor alone"
        ) from None  # fmt: skip
    tensors = loaded if isinstance(loaded, dict) else {"": loaded}
    odd = next((key for key in tensors if not isinstance(key, str | int)), None)
    if odd is not None:
        raise BadInput(WRONG_TYPE, f"a dictionary whose keys are {type(odd).__name__}, not names")
    tensor = choose({str(name): value for name, value in tensors.items()}, key)
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise BadInput(WRONG_TYPE, f"holds {type(tensor).__name__}, not one dense tensor")
    refuse_size(tensor.numel() * tensor.element_size(), max_bytes)
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()  # NumPy has no bfloat16
    return tensor.detach().numpy()


def read_mat(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    """The only numeric variable of a MATLAB file before 7.3, or the one named ``key``."""
    from scipy.io import loadmat, whosmat

    check_mat(content, lambda num_bytes: refuse_size(num_bytes, max_bytes))
    numeric = ("double", "single", "int", "uint", "logical")
    names = {n: n for n, _, kind in whosmat(io.BytesIO(content)) if kind.startswith(numeric)}
    name = choose(names, key)
    return Array(loadmat(io.BytesIO(content), variable_names=[name])[name])


def read_hdf5(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    """The only data set of an HDF5 or MATLAB 7.3 file, or the one named ``key``."""
    import h5py  # pyright: ignore[reportMissingImports]  # an extra

    with h5py.File(io.BytesIO(content), "r") as file:
        dataset = choose(_hdf5_data_sets(file), key)
        if dataset.external or dataset.is_virtual:
            raise BadInput(WRONG_TYPE, "the data set points to other files")
        # A chunk is inflated whole, however little of it belongs to the data set.
        size = max(dataset.size, math.prod(dataset.chunks or ()))
        refuse_size(size * dataset.dtype.itemsize, max_bytes)
        values = dataset[()]
    # MATLAB is column-major: it writes its axes in reverse.
    return Array(values.T if content.startswith(b"MATLAB") else values)


def _hdf5_data_sets(file: Any) -> dict[str, Any]:
    """The data sets of a file by their names. Links to other files are not followed; a group that
    is reached twice is looked at once."""
    import h5py  # pyright: ignore[reportMissingImports]

    found: dict[str, Any] = {}
    pending, seen, num_items = [("", file)], {file["/"].id}, 0
    while pending:
        prefix, group = pending.pop()
        for name in group:
            num_items += 1
            if num_items > MAX_ITEMS or prefix.count("/") > MAX_DEPTH:
                raise BadInput(
                    WRONG_TYPE,
                    f"more than {MAX_ITEMS} groups and data sets, or more than {MAX_DEPTH} deep",
                )
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                found[prefix + name] = item
            elif isinstance(item, h5py.Group) and item.id not in seen:
                seen.add(item.id)
                pending.append((f"{prefix}{name}/", item))
    return found
