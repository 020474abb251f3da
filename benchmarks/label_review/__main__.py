"""Two benchmarks: `errors` plants errors and reviews them, `visits` adds fields to a few.

python -m benchmarks.label_review errors --cubes DIR --out DIR
python -m benchmarks.label_review visits --data_dir DIR --dataset isrc --out DIR
"""

import sys

from benchmarks.label_review import errors, visits

PARTS = {"errors": errors.main, "visits": visits.main}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"error: expected {' or '.join(PARTS)} after benchmarks.label_review")
    PARTS[sys.argv[1]](sys.argv[2:])
