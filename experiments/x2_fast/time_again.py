"""Time networks of a search again, and store these milliseconds in place of the first ones.

    python experiments/x2_fast/time_again.py outputs/x2_fast/search_onnxruntime

For a search whose machine had other work to do. The processor should have nothing else to do now.
Networks are left out of which another one has 0.1 dB more in 0.6 of the milliseconds.
The search then continues with the new times: raise ``candidates``. The old times go to
time_again.json in its folder, with the new ones; fresh scores are removed.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from statistics import median

from falsr_nas.evaluation.incomplete_training import SECONDS
from falsr_nas.latency.profile import parse_profile
from falsr_nas.profiling.device import Stopwatch, check_device
from falsr_nas.space.genome import Genome


def main(run_dir: Path) -> None:
    """Time the networks that are not in the file, then store all times in one transaction."""
    kept = run_dir / "time_again.json"
    times = json.loads(kept.read_text()) if kept.exists() else {}
    with sqlite3.connect(run_dir / "search.db") as db:
        (text,) = db.execute("SELECT value FROM about WHERE name = 'profile'").fetchone()
        profile = parse_profile(text, str(run_dir))
        unit = profile.reference_ms
        stopwatch = Stopwatch(check_device(profile), profile.reference, unit)
        rows = db.execute(
            "SELECT key, genome, psnr, latency FROM evaluations WHERE psnr IS NOT NULL"
        ).fetchall()
        for key, genome, psnr, before in rows:
            better = any(p >= psnr + 0.1 and ms <= 0.6 * before for _, _, p, ms in rows)
            if better or key in times:
                continue
            found = stopwatch.time(Genome.parse(genome), SECONDS)
            times[key] = [before, unit * found.ratio, unit * found.spread, found.reference_ms]
            print(
                f"{before:7.1f} {times[key][1]:7.1f} {found.reference_ms:5.1f} {genome}", flush=True
            )
            kept.write_text(json.dumps(times))
        new = [(ms, spread, key) for key, (_, ms, spread, _) in times.items()]
        db.executemany("UPDATE evaluations SET latency = ?, latency_spread = ? WHERE key = ?", new)
        db.execute("DELETE FROM scores")
    errors = [abs(before / after - 1) for before, after, *_ in times.values()]
    print(f"{len(times)} networks; the first times differ by {median(errors):.1%} at the median")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
