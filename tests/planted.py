"""Planted faults: `python -m tests.planted [NAME...]` removes one safeguard at a time from a copy.

For each fault the tests that should see it are run there; a fault that they do not see is a
survivor, and the exit code is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

DURABLE = "tests/test_durability.py"
CUT = f"{DURABLE}::test_a_power_cut_takes_nothing_that_is_published"
LARGE = f"{DURABLE}::test_large_amounts_are_exact_in_every_model"
DAMAGED = "tests/test_faults.py::test_a_warehouse_with_a_damaged_log_is_made_again"
YEAR = "tests/test_year.py"
STATEMENTS = "tests/test_statements.py"
SOURCE = "src/medallion"


@dataclass(frozen=True)
class Fault:
    """A change of one file that removes a safeguard, and the test that must turn red."""

    name: str
    path: str
    old: str
    new: str
    test: str


FAULTS = (
    Fault(
        "fsync of a published file",
        f"{SOURCE}/platforms/local.py",
        "            sync(path)\n            final = self.path(key)\n",
        "            final = self.path(key)\n",
        CUT,
    ),
    Fault(
        "fsync of the folders of published files",
        f"{SOURCE}/platforms/local.py",
        "        for folder in folders:\n            sync(folder)\n",
        "",
        CUT,
    ),
    Fault(
        "fsync of a file that is put",
        f"{SOURCE}/platforms/local.py",
        "                os.fsync(file.fileno())\n",
        "",
        CUT,
    ),
    Fault(
        "fsync of the folder of a file",
        f"{SOURCE}/platforms/local.py",
        "            raise\n        sync(final.parent)\n",
        "            raise\n",
        CUT,
    ),
    Fault(
        "fsync of a new folder's parent",
        f"{SOURCE}/platforms/local.py",
        "    folder.mkdir(exist_ok=True)\n    sync(folder.parent)\n",
        "    folder.mkdir(exist_ok=True)\n",
        CUT,
    ),
    Fault(
        "fsync of a snapshot's files",
        f"{SOURCE}/layers/snapshots.py",
        "        sync(path)\n        return checksum",
        "        return checksum",
        CUT,
    ),
    Fault(
        "hours that a batch changes, told to the snapshot",
        "dbt/macros/materializations_duckdb.sql",
        "select distinct sales_date, sales_hour from {{ changes }};",
        "select distinct sales_date, sales_hour from {{ changes }} where false;",
        "tests/test_live.py::test_micro_batches_leave_what_a_full_refresh_makes",
    ),
    Fault(
        "fsync of a snapshot's folder",
        f"{SOURCE}/layers/snapshots.py",
        "    sync(hidden)\n",
        "",
        CUT,
    ),
    Fault(
        "fsync between snapshot and pointer",
        f"{SOURCE}/layers/snapshots.py",
        "    sync(gold)\n    pointer = ",
        "    pointer = ",
        CUT,
    ),
    Fault(
        "receipt published last",
        f"{SOURCE}/layers/bronze.py",
        "        lake.publish({key: path for _, o in cleaned for key, path in o.outputs.items()})\n"
        "        receipts = {receipt_key(stem(raw)): outcome.path for raw, outcome in cleaned}\n"
        "        lake.publish(receipts, keeps_first=True)\n",
        "        receipts = {receipt_key(stem(raw)): outcome.path for raw, outcome in cleaned}\n"
        "        lake.publish(receipts, keeps_first=True)\n"
        "        lake.publish("
        "{key: path for _, o in cleaned for key, path in o.outputs.items()})\n",
        f"{DURABLE}::test_no_receipt_comes_before_what_it_names",
    ),
    Fault(
        "compacted receipts published last",
        f"{SOURCE}/operations/compaction.py",
        "for key, (path, _) in self._written.items()})\n",
        "for key, (path, _) in [*self._written.items()][1:]})\n",
        f"{YEAR}::test_past_days_become_few_objects",
    ),
    Fault(
        "what was compacted is not loaded under its old names, too",
        f"{SOURCE}/layers/staging.py",
        "            self._waiting -= compaction.receipts\n",
        "",
        f"{YEAR}::test_a_killed_compaction_loses_and_repeats_nothing",
    ),
    Fault(
        "checksums before compaction",
        f"{SOURCE}/operations/compaction.py",
        "                    stamps[stored.key].require(stored.key, Stamp.of_file(path))\n",
        "",
        f"{YEAR}::test_what_is_damaged_or_not_loaded_is_not_compacted",
    ),
    Fault(
        "raw objects are retired over a sound bronze only",
        f"{SOURCE}/operations/retention.py",
        '        require_sound_bronze(lake, "then retire raw objects")\n',
        "",
        f"{YEAR}::test_nothing_is_retired_over_a_damaged_bronze",
    ),
    Fault(
        "bronze objects are retired only where the warehouse has loaded them",
        f"{SOURCE}/operations/retention.py",
        "                if key not in loaded:\n",
        "                if key not in loaded | {key}:\n",
        f"{YEAR}::test_bronze_objects_that_are_needed_are_kept",
    ),
    Fault(
        "a rebuild takes retired rows from the warehouse",
        f"{SOURCE}/operations/rebuild.py",
        "    carry_over(platform.lake, lake, carried, restored)\n",
        "    carry_over(platform.lake, lake, carried, {})\n",
        f"{YEAR}::test_old_bronze_objects_are_retired",
    ),
    Fault(
        "a slice of everything in each look",
        f"{SOURCE}/platforms/watch.py",
        "        objects |= {o.key: o for o in self._next_slice()}\n",
        "",
        f"{YEAR}::test_what_is_dropped_anywhere_is_found",
    ),
    Fault(
        "folders that change twice within the unit of their time",
        f"{SOURCE}/platforms/watch.py",
        "self._is_settled = now - self._since >= _SETTLING_SECONDS",
        "self._is_settled = True",
        f"{YEAR}::test_a_name_that_comes_within_the_unit_of_time_is_found",
    ),
    Fault(
        "objects still being written wait",
        f"{SOURCE}/layers/bronze.py",
        "if source.checksum() and source.size != self._raw.size:",
        "if False:",
        f"{DURABLE}::test_an_object_that_grows_while_it_is_read_waits",
    ),
    Fault(
        "ledger rows = receipt rows",
        f"{SOURCE}/layers/staging.py",
        "            if staged.get(key, 0) != rows:",
        "            if False:",
        f"{DURABLE}::test_rows_are_counted_where_no_checksum_is",
    ),
    Fault(
        "checksum of an output, loader",
        f"{SOURCE}/layers/staging.py",
        "                    stamps[key].require(key, Stamp.of_file(path))",
        "                    pass",
        f"{DURABLE}::test_a_damaged_object_is_not_loaded_and_breaks_a_promise",
    ),
    Fault(
        "checksum of an output, audit",
        f"{SOURCE}/audit/bronze.py",
        "                    stamps[stored.key].require(stored.key, actual)\n",
        "",
        f"{DURABLE}::test_a_flipped_bit_is_named_or_harmless",
    ),
    Fault(
        "checksum of a receipt",
        f"{SOURCE}/lake/receipts.py",
        "    if stamps.keys() != outputs.keys() or sealed(row, stamps)[SEAL] != row[SEAL]:",
        "    if False:",
        f"{DURABLE}::test_an_altered_receipt_is_not_loaded",
    ),
    Fault(
        "checksum of raw bytes, audit",
        f"{SOURCE}/audit/raw.py",
        "            if receipt is None and receipt_key(stem(raw)) in loaded:",
        "            if False:",
        "tests/test_audit.py",
    ),
    Fault(
        "one transaction of rows and ledger",
        f"{SOURCE}/platforms/warehouse.py",
        '            connection.execute("ROLLBACK")\n',
        '            connection.execute("COMMIT")\n',
        f"{DURABLE}::test_rows_are_counted_where_no_checksum_is",
    ),
    Fault(
        "the key of the ledger",
        f"{SOURCE}/layers/staging.py",
        "        self._loaded = {key for (key,) in rows}\n",
        "        self._loaded = set[str]()\n",
        "tests/test_end_to_end.py::test_a_second_run_adds_up_and_a_third_changes_nothing",
    ),
    Fault(
        "one row per event",
        "dbt/models/silver.sql",
        "order by {{ order_of_copies() }}, load_seq\n    ) = 1",
        "order by {{ order_of_copies() }}, load_seq\n    ) >= 1",
        "tests/test_end_to_end.py::test_gold_and_quarantine_equal_the_answer_key",
    ),
    Fault(
        "the order of the reasons",
        f"{SOURCE}/cleaning/exact.py",
        "missing, bad, rule, decided in self._rules:",
        "missing, bad, rule, decided in sorted(self._rules, key=lambda r: r.name != 'price'):",
        "tests/conformance/test_conformance.py::test_case[order.currency_before_price-exact]",
    ),
    Fault(
        "conditional write of a receipt in a bucket",
        f"{SOURCE}/platforms/s3.py",
        'self._put_if(body, key, checksum, IfNoneMatch="*") or keeps_first',
        "self._put_if(body, key, checksum) or keeps_first",
        "tests/test_s3.py::test_of_two_runners_the_first_receipt_stays",
    ),
    Fault(
        "conditional write of the register",
        f"{SOURCE}/platforms/register.py",
        'self._explained("write", *_CHANGED), self._header(*condition):',
        'self._explained("write", *_CHANGED):',
        "tests/glue/test_register.py::test_only_who_saw_the_last_state_changes_it",
    ),
    Fault(
        "what a full disk refuses is written later",
        f"{SOURCE}/simulation/producer.py",
        "            self._lake.put(key, stored)\n            del self._unwritten[0]\n",
        "            del self._unwritten[0]\n            self._lake.put(key, stored)\n",
        "tests/test_simulation.py::test_what_a_full_disk_refuses_is_written_when_there_is_room",
    ),
    Fault(
        "the log of the warehouse stays short",
        f"{SOURCE}/pipeline.py",
        "        shorten_log(self.home, self.warehouse)\n",
        "",
        "tests/test_live.py::test_micro_batches_leave_what_a_full_refresh_makes",
    ),
    Fault(
        "the lock of the home",
        f"{SOURCE}/platforms/home.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "        pass",
        "tests/test_end_to_end.py::test_of_two_runners_on_one_home_one_works_and_one_says_so",
    ),
    Fault(
        "read errors are no verdict",
        f"{SOURCE}/lake/codecs.py",
        "            raise self._stored.failure or DamagedArchive(str(error)) from error",
        "            raise DamagedArchive(str(error)) from error",
        "tests/test_faults.py::test_an_error_of_the_disk_is_no_verdict_on_data",
    ),
    Fault(
        "forget looks whether a file changed",
        f"{SOURCE}/operations/erasure/lake.py",
        "self._lake.replace(path, key, arrived, instead_of=raw)",
        "self._lake.replace(path, key, arrived)",
        "tests/test_faults.py::test_forget_keeps_lines_that_come_meanwhile",
    ),
    Fault(
        "names of this machine only",
        f"{SOURCE}/outputs/dashboard/server.py",
        '    flags += [f"--server.allowedHosts={name}" for name in (*NAMES, *names)]\n',
        "",
        "tests/test_doors.py::test_only_names_of_this_machine_are_served",
    ),
    Fault(
        "a query reaches no file",
        f"{SOURCE}/platforms/warehouse.py",
        '    "enable_external_access = false",\n'
        "    \"disabled_filesystems = 'LocalFileSystem'\",\n",
        "",
        "tests/test_doors.py::test_without_the_rule_a_query_reaches_no_file_either",
    ),
    Fault(
        "a query is one that reads relations",
        f"{SOURCE}/platforms/warehouse.py",
        "        require_question(connection, sql)\n        answer",
        "        answer",
        "tests/test_doors.py::test_a_query_reaches_nothing_but_relations",
    ),
    Fault(
        "DECIMAL in gold",
        "dbt/models/gold.sql",
        "cast(sum(net_amount) as decimal(38,4)) as net_sales",
        "cast(sum(cast(net_amount as double)) as decimal(38,4)) as net_sales",
        LARGE,
    ),
    Fault(
        "a basket that goes on counts once",
        "dbt/models/gold.sql",
        "standing.transactions - coalesce(recounted.transactions, 0)",
        "standing.transactions",
        "tests/dbt/test_increments.py::test_gold_adds_what_is_new",
    ),
    Fault(
        "a day with a replaced copy is summed",
        "dbt/models/gold.sql",
        " and dt not in (select dt from rebuilt)",
        "",
        "tests/dbt/test_increments.py::test_gold_adds_what_is_new",
    ),
    Fault(
        "a basket leaves the row in which it counted",
        "dbt/macros/sales_sums.sql",
        "    where stands and not is_first_of_basket\n",
        "    where false\n",
        "tests/dbt/test_increments.py::test_a_row_by_product_gains_what_is_new",
    ),
    Fault(
        "a row that is summed again is not added to",
        "dbt/models/marts/sales_hourly_product.sql",
        """
            and (sales_date, sales_hour, store_id, product_id) not in (
                select sales_date, sales_hour, store_id, product_id from rebuilt
            )
    ) as sales""",
        """
    ) as sales""",
        "tests/dbt/test_increments.py::test_a_row_by_product_gains_what_is_new",
    ),
    Fault(
        "the Glue job publishes whatever was stored",
        "src/medallion/layers/spark/run.py",
        "if stamps.get(key) != output.stamp:",
        "if False:",
        "tests/glue/test_bronze_cluster.py::"
        "test_a_file_that_is_not_stored_as_it_was_computed_stops_the_run",
    ),
    Fault(
        "an audit of many small objects looks at the first of them",
        "src/medallion/audit/values.py",
        "            yield raw, among(kept.pop(raw.key, {}))",
        "            yield raw, among(kept.pop(raw.key, {}))\n            break",
        "tests/test_audit.py::test_a_planted_violation_is_caught",
    ),
    Fault(
        "a minute that is summed again is not added to",
        "dbt/models/live/live_sales.sql",
        """
            and minute_at not in (select minute_at from rebuilt)
    ) as sales""",
        """
    ) as sales""",
        "tests/dbt/test_orders_of_arrival.py::test_increments_equal_a_full_refresh",
    ),
    Fault(
        "the live page looks back a whole week",
        "dbt/macros/live.sql",
        "numbers([-8, -7,",
        "numbers([-7,",
        "tests/dbt/test_retail_marts.py::test_the_live_page_holds_two_whole_days",
    ),
    Fault(
        "a quick choice is not undone",
        f"{SOURCE}/outputs/dashboard/app.py",
        '    address = address if opened else said["address"]\n',
        '    opened = opened or said["address"] != address\n',
        "tests/test_dashboard.py::test_choices_that_outrun_the_answer_all_count",
    ),
    Fault(
        "DECIMAL in the baskets",
        "dbt/models/marts/fct_basket.sql",
        "cast(sum(gross_sales) - sum(discounts) as decimal(38,4)) as basket_value",
        "cast(sum(cast(gross_sales - discounts as double)) as decimal(38,4)) as basket_value",
        LARGE,
    ),
    Fault(
        "a damaged warehouse is made anew",
        f"{SOURCE}/platforms/platform.py",
        "                if anew is None:\n                    raise\n",
        "                raise\n",
        DAMAGED,
    ),
    Fault(
        "a damaged warehouse is kept",
        f"{SOURCE}/platforms/home.py",
        "            move(home / part, folder / part)\n    return folder",
        "            (home / part).unlink()\n    return folder",
        DAMAGED,
    ),
    Fault(
        "statements belong to a catalog",
        f"{SOURCE}/layers/transform.py",
        "select, full_refresh, catalog]",
        "select, full_refresh]",
        STATEMENTS,
    ),
    Fault(
        "statements belong to a moment",
        f"{SOURCE}/layers/dbt.py",
        "        return not any(map(_OF_THE_MOMENT.search, texts))",
        "        return True",
        STATEMENTS,
    ),
)


def copy_of_the_project(folder: Path) -> Path:
    """Copy all files that git knows, and the new ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (source := ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def outcome(copy: Path, fault: Fault) -> str:
    """Return 'red', or why the fault survived."""
    path = copy / fault.path
    text = path.read_text()
    if text.count(fault.old) != 1:
        return "NOT PLANTED: the code has changed"
    path.write_text(text.replace(fault.old, fault.new))
    try:
        code = run_tests(copy, fault.test)
    finally:
        path.write_text(text)
    return {0: "SURVIVES", 1: "red"}.get(code, f"NOT RUN: pytest {code}")


def run_tests(copy: Path, *tests: str, longest: float | None = None) -> int | None:
    """Run tests in a copy of the project up to the first that fails; return pytest's exit code.

    None stands for tests that take longer than so many seconds.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=longest
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def main() -> int:
    """Plant the named faults, or all; print one table."""
    chosen = [f for f in FAULTS if not sys.argv[1:] or f.name in sys.argv[1:]]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_the_project(Path(folder))
        for fault in chosen:
            started = time.monotonic()
            verdict = outcome(copy, fault)
            survivors += verdict != "red"
            seconds = time.monotonic() - started
            print(f"{fault.name:<38} {verdict:<10} {seconds:>5.0f} s  {fault.test}", flush=True)
    print(f"{len(chosen)} planted, {survivors} survive")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
