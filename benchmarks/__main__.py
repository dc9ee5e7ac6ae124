"""`python -m benchmarks`: runs it all and writes the results into docs/performance.md."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import peers, report
from benchmarks.scenarios import FULL, QUICK, Bench
from deployer.observe import configure_logging

_ROOT = Path(__file__).parent.parent
_MEDIA = _ROOT / ".cache" / "images"
_PAGE = _ROOT / "docs" / "performance.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer hosts and shorter rounds")
    parser.add_argument("--peers", type=Path, help="TOML file of more servers to compare with")
    parser.add_argument("--page", type=Path, default=_PAGE, help="where the results go")
    args = parser.parse_args()
    configure_logging("json")
    try:
        others = peers.read(args.peers) if args.peers else []
        for program in ("wrk", "nginx"):
            if shutil.which(program) is None:
                raise peers.PeerFailed(f"{program} is not installed; run `make setup`")
        if not (_MEDIA / "live-x86_64").is_dir():
            raise peers.PeerFailed("there is no live system yet; run `make media`")
        with tempfile.TemporaryDirectory(prefix="deployer-bench-") as work:
            bench = Bench(QUICK if args.quick else FULL, Path(work), _MEDIA, others, print)
            found = bench.run()
    except peers.PeerFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    results = report.text(found, "make bench QUICK=1" if args.quick else "make bench")
    args.page.write_text(report.placed(args.page.read_text(encoding="utf-8"), results))
    print(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
