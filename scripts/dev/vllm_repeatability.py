#!/usr/bin/env python3
"""How well does vLLM repeat its own W4A4 drafts? The fixture's 140 prompts once more through the same vLLM
on the same drafter in float32, with PyTorch's kernels for another instruction set, compared round by round
as tests/engine/trace_test.cc compares Talon: float32 noise of 1e-6 in the features moves activation codes
that lie at rounding ties, and the drafts with them.

    OMP_NUM_THREADS=1 VENV/bin/python scripts/dev/vllm_repeatability.py [--shared DIR] [--out FILE]
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def rounds(trace):
    """Output token at which a round starts -> its drafts and accepted count."""
    start, found = 0, {}
    for drafts, accepted in zip(trace["drafts_per_round"], trace["accepted_per_round"]):
        found[start] = (drafts, accepted)
        start += accepted + 1
    return found


def record(shared, out):
    environment = dict(os.environ, ATEN_CPU_CAPABILITY="default", REFEREE_SHARED=str(shared))
    subprocess.run(
        [sys.executable, shared / "referee/acceptance.py", "--dtype", "float32", "--seqs", "1",
         "--emulate", "w4a4", "--drafter", shared / "fixtures/modelopt-nvfp4-drafter", "--child", "spec",
         "--out", out], check=True, env=environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=ROOT / "build/vllm_repeatability.json")
    arguments = parser.parse_args()
    if not arguments.out.exists():
        record(arguments.shared, arguments.out)
    fixture = arguments.shared / "fixtures/vllm-eagle3/traces_nvfp4_w4a4_fp32.json"
    expected = {trace["id"]: rounds(trace) for trace in json.load(fixture.open())["traces"]}
    equal = 0
    for category in json.load(arguments.out.open()).values():
        for trace in category["traces"]:
            again = rounds(trace)
            equal += sum(again.get(start) == value for start, value in expected[trace["id"]].items())
    total = sum(map(len, expected.values()))
    print(f"vLLM repeats {equal} of its {total} rounds ({100 * equal / total:.1f} %)")


if __name__ == "__main__":
    main()
