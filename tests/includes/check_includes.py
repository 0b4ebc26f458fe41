#!/usr/bin/env python3
"""Checks that the #includes of src/ and include/ go the way DESIGN.md ("Layout") allows.

usage: check_includes.py [ROOT]    the repository; exit status 1 and one line per violation
       check_includes.py --self-test    plants one violation of each rule and expects it to be found
"""
import pathlib
import re
import sys
import tempfile

# Lowest first. A room uses rooms of its own tier or below; within that, src/CMakeLists.txt names which.
TIERS = [
    ["base"],
    ["tensor"],
    ["kernels", "quant", "calibrate", "checkpoint"],
    ["models", "sampling", "tokenizers", "image", "metrics", "hub"],
    ["pipeline"],
    ["bench", "report", "doctor"],
    ["cli"],
]
TIER = {room: i for i, rooms in enumerate(TIERS) for room in rooms}
# These see the list of operations and the scheme contract, not what implements them on a device.
DEVICE_BLIND = {"models", "sampling"}
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
CUDA_HEADER = re.compile(r"^(cuda|cublas|cudnn|curand|cusparse|nccl|nvml|nvtx|cutlass|cute|cub|thrust|cooperative_groups)")
CUDA_PLACE = re.compile(r"^src/(kernels/cuda/|tensor/|quant/[^/]+/cuda)")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
ROOM = re.compile(r"^fluxq_room\((\w+)([^)]*)\)", re.MULTILINE)


def declared_rooms(cmake, complain):
    """(room -> the rooms it may use: its DEPS and theirs; the same for its tests: those and its TEST_DEPS)."""
    uses, test_deps = {}, {}
    for name, rest in ROOM.findall(cmake):
        lists = {"": [], "DEPS": [], "TEST_DEPS": [], "LIBS": []}
        current = ""
        for word in rest.split():
            current = word if word in lists else current
            if word not in lists:
                lists[current].append(word)
        if name not in TIER:
            complain(f"src/CMakeLists.txt: room {name} has no tier in tests/includes/check_includes.py")
        uses[name], test_deps[name] = set(), lists["TEST_DEPS"]
        for dep in lists["DEPS"]:
            if dep not in uses:
                complain(f"src/CMakeLists.txt: room {name} depends on {dep}, which is not declared above it")
            elif TIER.get(dep, 0) > TIER.get(name, 0):
                complain(f"src/CMakeLists.txt: room {name} depends on {dep}, which is above it")
            uses[name] |= {dep} | uses.get(dep, set())
    tests_use = {name: uses[name].union(deps, *(uses.get(dep, ()) for dep in deps)) for name, deps in test_deps.items()}
    return uses, tests_use


def problem_of(path, header, uses, tests_use):
    """Why the file at `path` may not include "header", or None. Both are POSIX strings."""
    is_test = re.search(r"(_test\.cc|/testing\.h|/test_\w+\.h)$", path) is not None  # headers for tests: testing.h, test_*.h
    here, there = path.split("/"), header.split("/")
    if path.startswith("include/"):
        return None if there[0] == "fluxq" else "a public header includes public headers only"
    if there[0] == "fluxq":
        return None
    if ".." in there or len(there) < 2:
        return "includes are written from src/: \"room/file.h\""
    room, target = here[1], there[0]
    if target not in uses:
        return f"{target} is no room of src/CMakeLists.txt"
    if target != room and target not in (tests_use if is_test else uses)[room]:
        return f"{target} is not among the DEPS of {room}"
    if target == "kernels" and len(there) > 2 and room in DEVICE_BLIND and not is_test:
        return f"{room} knows no device: only the headers of kernels/ itself"
    if target == "quant" and len(there) > 2:
        folder = there[1]
        own = here[1:3] == ["quant", folder] and len(here) > 3
        shared = folder == "formats" and room == "quant"
        registry = path == "src/quant/registry.cc" or (room == "quant" and is_test and len(here) == 3)
        if not (own or shared or registry):
            return f"the scheme folder quant/{folder} is included by itself and quant/registry.cc only"
    return None


def violations(root):
    found = []
    uses, tests_use = declared_rooms((root / "src/CMakeLists.txt").read_text(), found.append)
    for file in sorted([*(root / "src").rglob("*"), *(root / "include").rglob("*")]):
        if file.suffix not in SUFFIXES or not file.is_file():
            continue
        path = file.relative_to(root).as_posix()
        if path.startswith("src/") and path.split("/")[1] not in uses:
            found.append(f"{path}: its folder is no room of src/CMakeLists.txt")
            continue
        text = file.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            quoted, system = match.groups()
            problem = problem_of(path, quoted, uses, tests_use) if quoted else None
            if CUDA_HEADER.match(quoted or system) and not CUDA_PLACE.match(path):
                problem = "CUDA headers belong into kernels/cuda, tensor and quant/*/cuda* only"
            if problem:
                line = text.count("\n", 0, match.start(0)) + 1
                found.append(f"{path}:{line}: #include {quoted or system}: {problem}")
    return found


SELF_TEST_CMAKE = """fluxq_room(base LIBS fmt::fmt)
fluxq_room(tensor DEPS base)
fluxq_room(kernels DEPS tensor LIBS DNNL::dnnl)
fluxq_room(quant DEPS kernels)
fluxq_room(image DEPS base LIBS PNG::PNG)
fluxq_room(models DEPS quant TEST_DEPS sampling)
fluxq_room(sampling DEPS base)
"""
ALLOWED = [
    ("src/models/flux/a.cc", '#include "models/b.h"\n#include "quant/scheme.h"\n#include "kernels/kernels.h"\n#include <map>'),
    ("src/models/a.cc", '#include "base/error.h"\n#include "fluxq/error.h"'),
    ("src/models/a_test.cc", '#include "kernels/ref/ref_kernels.h"'),
    ("src/models/a_test.cc", '#include "sampling/noise.h"'),
    ("src/quant/f32/cpu.cc", '#include "quant/f32/layout.h"\n#include "quant/formats/e4m3.h"\n#include "kernels/cpu/gemm.h"'),
    ("src/quant/f32/cuda.cu", "#include <cublasLt.h>"),
    ("src/quant/registry.cc", '#include "quant/f32/layout.h"'),
    ("src/tensor/device.cc", "#include <cuda_runtime.h>"),
    ("include/fluxq/engine.h", '#include "fluxq/error.h"\n#include <string>'),
]
FORBIDDEN = [
    ("src/base/a.cc", '#include "tensor/tensor.h"', "not among the DEPS of base"),
    ("src/models/a.cc", '#include "sampling/noise.h"', "not among the DEPS of models"),
    ("src/image/a.cc", '#include "kernels/kernels.h"', "not among the DEPS of image"),
    ("src/kernels/a.cc", '#include "quant/scheme.h"', "not among the DEPS of kernels"),
    ("src/models/a.cc", '#include "quant/f32/layout.h"', "registry.cc only"),
    ("src/models/a.cc", '#include "quant/formats/e4m3.h"', "registry.cc only"),
    ("src/models/a.cc", ' #  include "kernels/cuda/kernels.h"', "knows no device"),
    ("src/quant/f32/a.cc", '#include "quant/bf16/layout.h"', "registry.cc only"),
    ("src/base/a.cc", '#include "../tensor/tensor.h"', "written from src/"),
    ("src/base/a.cc", '#include "error.h"', "written from src/"),
    ("src/base/a.cc", '#include "nowhere/a.h"', "is no room"),
    ("src/nowhere/a.cc", "", "is no room"),
    ("src/kernels/cpu/a.cc", "\n#include <cuda_runtime.h>", "a.cc:2: "),
    ("src/models/a.h", "#include <cutlass/gemm.h>", "CUDA headers belong"),
    ("include/fluxq/engine.h", '#include "base/error.h"', "public headers only"),
]
FORBIDDEN_CMAKE = [
    ("fluxq_room(metrics DEPS models)\nfluxq_room(tokenizers DEPS pipeline)\n", "not declared above it"),
    ("fluxq_room(pipeline DEPS models)\nfluxq_room(metrics DEPS base pipeline LIBS a::b)\n", "which is above it"),
    ("fluxq_room(attic DEPS base)\n", "no tier"),
]


def violations_of(cmake, files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in [("src/CMakeLists.txt", cmake), *files]:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text + "\n")
        return violations(root)


def self_test():
    cases = [(SELF_TEST_CMAKE, [file], None) for file in ALLOWED]
    cases += [(SELF_TEST_CMAKE, [(path, text)], part) for path, text, part in FORBIDDEN]
    cases += [(SELF_TEST_CMAKE + more, [], part) for more, part in FORBIDDEN_CMAKE]
    failures = 0
    for cmake, files, part in cases:
        found = violations_of(cmake, files)
        if (found != []) if part is None else (len(found) != 1 or part not in found[0]):
            failures += 1
            print(f"self-test: {files or cmake}: expected {part or 'nothing'}, found {found}")
    return failures


if __name__ == "__main__":
    argument = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]
    if argument == "--self-test":
        sys.exit(1 if self_test() else 0)
    lines = violations(pathlib.Path(argument))
    print("\n".join(lines) if lines else "all includes go the right way")
    sys.exit(1 if lines else 0)
