"""Compile Triton kernels for GPUs that are not there: finds what the interpreter accepts and a GPU would not.

``compile_kernel`` runs this file in a process of its own, because the interpreter replaces the compiler in a process
that has it switched on.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

ARCHITECTURES = (80, 90)


def compile_kernel(module: str, name: str, types: str, constants: dict, num_warps: int) -> str:
    """The PTX for each of `ARCHITECTURES`, one after another; raises with the compiler's message if there is none.

    `types` are the arguments that are not constants, in order: for instance ``*fp32 *i32 i32``.
    """
    request = json.dumps([module, name, types.split(), constants, num_warps])
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, __file__, request], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _compile(module: str, name: str, types: list[str], constants: dict, num_warps: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(module), name)
    remaining = iter(types)
    signature = {a: "constexpr" if a in constants else next(remaining) for a in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, t in enumerate(signature.values()) if t.startswith("*")}
    for architecture in ARCHITECTURES:
        compiled = triton.compile(
            ASTSource(kernel, signature, constants, aligned),
            target=GPUTarget("cuda", architecture, 32),
            options={"num_warps": num_warps},
        )
        assert compiled.asm["cubin"]
        print(compiled.asm["ptx"])


if __name__ == "__main__":
    _compile(*json.loads(sys.argv[1]))
