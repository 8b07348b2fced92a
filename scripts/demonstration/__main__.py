"""`scripts/demo`."""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.demonstration.alarms import AlarmDemo
from scripts.demonstration.processes import Scene
from scripts.demonstration.story import BOLD, PLAIN, Demo, DemoFailed


def stop(scene: Scene) -> int:
    """Stop every process of a scene and show that none is left; its directory goes with them."""
    try:
        print(f"\n{BOLD}== Stopping every process that was started.{PLAIN}", flush=True)
    finally:  # whoever read this may be gone, as in `scripts/demo | head`
        left = scene.stop()
    for one in left:
        print(f"  still there: {one}")
    if not left:
        print("  none is left")
        shutil.rmtree(scene.directory, ignore_errors=True)
    return 1 if left else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the story went as it should and no process is left."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Six hosts, three revisions, one automatic rollback.")
    parser.add_argument("--alarms", action="store_true", help="another story: a revision whose errors only Prometheus sees")
    parser.add_argument("--keep", action="store_true", help="leave everything running and say how to look around")
    parser.add_argument("--stop", type=Path, metavar="DIR", help="stop what --keep left running")
    settings = parser.parse_args(arguments)
    if settings.stop is not None:
        return stop(Scene.found(settings.stop))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it asks for the same as who presses Ctrl-C
    scene = Scene(Path(tempfile.mkdtemp(prefix="hookline-demo-")))
    demo = AlarmDemo(scene) if settings.alarms else Demo(scene)
    began, code, kept = time.monotonic(), 1, False
    try:
        demo.play()
        code = 0
        if settings.keep:
            demo.explain()
            kept = True
    except (DemoFailed, OSError, subprocess.SubprocessError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        logs = scene.directory / "logs"
        for log in sorted(logs.glob("*.log")):
            print(f"---- {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        code = 130
    finally:
        if not kept:
            code = stop(scene) or code
    if not kept:
        print(f"\nDone in {time.monotonic() - began:.0f} s.")
    return code


if __name__ == "__main__":
    sys.exit(main())
