"""Precision and recall of the alarms against an answer key: `python -m benchmarks.alarms`.

A shop of six weeks with the simulator's rhythm is looked at after each batch of five minutes: first
a clean week, then one with 20 planted incidents. An alarm is right while an incident that the rules
may still see goes on; an incident is found when its own rule names it within two batches.
"""

from __future__ import annotations

import argparse
import time

from tests.incidents import BATCH, CLEAN, END, PLANTED, answer_key, looks, shop


def main() -> None:
    """Prints each incident and when it was named, then precision, recall and the time of a look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    incidents = answer_key()
    warehouse = shop(incidents, parser.parse_args().seed)
    started, count = time.monotonic(), 0
    begun: list[bool] = []
    for week, first, last in (("clean", CLEAN, PLANTED), ("planted", PLANTED, END)):
        standing, false, named = set[tuple[str, str]](), 0, {}
        for now, alarms in looks(warehouse, incidents, first, last):
            count += 1
            names = {(alarm.rule, alarm.subject) for alarm in alarms}
            for rule, subject in sorted(names - standing):
                causes = [i for i in incidents if i.reaches(now)]
                begun.append(bool(causes))
                if not causes:
                    false += 1
                    print(f"  false    {now:%a %H:%M} {rule}: {subject}")
                for incident in causes:
                    if incident.rule == rule:
                        named.setdefault(incident, now)
            standing = names
        print(f"{week:<8} {false} false alarms")
    found = 0
    for incident in incidents:
        batches = (named[incident] - incident.begins) // BATCH if incident in named else None
        found += batches is not None and batches <= 2
        print(f"  {incident.begins:%a %H:%M} {incident.rule} {incident.variant}: {batches} batches")
    print(f"precision {sum(begun) / len(begun):.2f} of {len(begun)} alarms")
    print(f"recall    {found / len(incidents):.2f}: {found} of {len(incidents)} within two batches")
    print(f"a look takes {(time.monotonic() - started) / count * 1000:.0f} ms")


if __name__ == "__main__":
    main()
