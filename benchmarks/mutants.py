"""How many small faults in a module its tests notice: mutation testing of a sample.

    python benchmarks/mutants.py seqbelt.comparison.verdict_rule tests/comparison/test_verdict.py
    python benchmarks/mutants.py MODULE TEST... --replace "above - 1" "above"

Each mutant has one operator, comparison, constant or call of ``min``, ``max``, ``any``, ``all``,
``argmin`` or ``argmax`` exchanged for its neighbour. It is imported in a forked process in place of
the module, and the tests run there until one fails. Large libraries are imported before the fork,
so that a mutant costs little more than the tests. Text of messages and annotations are not mutated.
"""

import argparse
import ast
import copy
import importlib.util
import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

import pytest

LIBRARIES = ("torch", "scipy.stats", "sklearn.linear_model", "pandas", "pyarrow")
MAX_CPU_S = 120
"""Processor time of one mutant; an endless loop counts as noticed."""
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or,
    ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax",
         "argmax": "argmin", "minimum": "maximum", "maximum": "minimum"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--sample", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replace", nargs=2, metavar=("OLD", "NEW"))
    arguments = parser.parse_args()
    spec = importlib.util.find_spec(arguments.module)
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin)
    source = path.read_text("utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "seqbelt"]:
        del sys.modules[name]  # find_spec imports the packages above the module
    for name in LIBRARIES:
        importlib.import_module(name)
    if fails(arguments.module, path, ast.parse(source), arguments.tests):
        sys.exit(f"{' '.join(arguments.tests)} fail without a mutant")
    if arguments.replace:
        old, new = arguments.replace
        assert source.count(old) == 1, f"{old!r} is {source.count(old)} times in {path}"
        mutants = [(f"{old} -> {new}", ast.parse(source.replace(old, new)))]
    else:
        sites = list(find_sites(ast.parse(source)))
        chosen = sorted(random.Random(arguments.seed).sample(
            range(len(sites)), min(arguments.sample, len(sites))
        ))  # fmt: skip
        mutants = [mutate(source, number) for number in chosen]
    num_noticed = 0
    for change, tree in mutants:
        is_noticed = fails(arguments.module, path, tree, arguments.tests)
        num_noticed += is_noticed
        print(f"{'noticed ' if is_noticed else 'SURVIVED'} {path.name}: {change}", flush=True)
    print(f"{arguments.module}: {num_noticed} of {len(mutants)} noticed", flush=True)


def fails(module: str, path: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Whether the tests fail with this code as the module."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.meta_path.insert(0, _Finder(module, path, tree))
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))


class _Finder:
    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        self.module, self.path, self.tree = module, path, tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        loader = _Loader(name, str(self.path), self.tree)
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.tree = tree

    def get_code(self, fullname: str):
        return compile(self.tree, self.path, "exec")


def mutate(source: str, number: int) -> tuple[str, ast.Module]:
    """The description and the code of the mutant at a site."""
    tree = ast.parse(source)
    node, change = list(find_sites(tree))[number]
    before = copy.deepcopy(node)
    change()
    ast.fix_missing_locations(tree)
    line = getattr(node, "lineno", 0)
    return f"line {line}: {ast.unparse(before)[:70]} -> {ast.unparse(node)[:70]}", tree


def find_sites(tree: ast.AST) -> Iterator[tuple[ast.AST, Callable[[], object]]]:
    """Each node that can be mutated, and the function that does it in place."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr | ast.Raise):  # messages
            continue
        if isinstance(node, ast.AnnAssign):
            yield from find_sites(ast.Module([ast.Expr(node.value)], [])) if node.value else ()
            continue
        yield from _changes(node)
        yield from find_sites(node)


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, Callable[[], object]]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        other = COMPARISONS[type(node.ops[0])]()
        yield node, lambda: node.ops.__setitem__(0, other)
    elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
        operator = OPERATORS[type(node.op)]()
        yield node, lambda: setattr(node, "op", operator)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node, lambda: setattr(node, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield node, lambda: setattr(node, "value", value)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            function = node.func
            yield node, lambda: setattr(function, "id", CALLS[function.id])
        elif isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            method = node.func
            yield node, lambda: setattr(method, "attr", CALLS[method.attr])


if __name__ == "__main__":
    main()
