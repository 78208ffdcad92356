"""Compile Triton kernels for GPUs that are not there: finds what the interpreter accepts and a GPU would not.

``compile_kernel`` asks a process of its own, this file, because the interpreter replaces the compiler in a process that
has it switched on. The process is kept: importing torch and triton takes longer than compiling.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import traceback

ARCHITECTURES = (80, 90)


def compile_kernel(module: str, name: str, types: str, constants: dict, num_warps: int) -> str:
    """The PTX for each of `ARCHITECTURES`, one after another; raises with the compiler's message if there is none.

    `types` are the arguments that are not constants, in order: for instance ``*fp32 *i32 i32``.
    """
    process = _compiler()
    assert process.stdin
    assert process.stdout
    print(json.dumps([module, name, types.split(), constants, num_warps]), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline() or '{"error": "the compiler has died"}')
    assert "ptx" in answer, answer["error"]
    return answer["ptx"]


@functools.cache
def _compiler() -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True, env=environment)


def _compile(module: str, name: str, types: list[str], constants: dict, num_warps: int) -> str:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(module), name)
    remaining = iter(types)
    signature = {a: "constexpr" if a in constants else next(remaining) for a in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, t in enumerate(signature.values()) if t.startswith("*")}
    ptx = []
    for architecture in ARCHITECTURES:
        compiled = triton.compile(
            ASTSource(kernel, signature, constants, aligned),
            target=GPUTarget("cuda", architecture, 32),
            options={"num_warps": num_warps},
        )
        assert compiled.asm["cubin"]
        ptx.append(compiled.asm["ptx"])
    return "\n".join(ptx)


def _serve() -> None:
    """Answer requests, a line of JSON each, until nobody asks any more."""
    for line in sys.stdin:
        try:
            answer = {"ptx": _compile(*json.loads(line))}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
