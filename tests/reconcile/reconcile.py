#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explain every raw row of a CareLink file.

Reads the file with Python's own csv module, decides by rules of its own what each row has to become, and compares with
what the import library made of it (dump-frames). Nothing here is derived from the C code: the rules are the
documentation's. Exit code 0: rows = records + merged + rejected, per kind, and every value, unit and time is the raw
row's. 77: no reference data here (skipped).

usage: reconcile.py DUMP-FRAMES FILE-BELOW-THE-REFERENCE-DATA ZONE [WHY-IT-IS-REFUSED]
"""

import collections
import csv
import datetime
import decimal
import functools
import json
import os
import re
import subprocess
import sys
import zoneinfo

D = decimal.Decimal
MS = datetime.timedelta(milliseconds=1)
EPOCH = datetime.datetime(1970, 1, 1)


def number(text):
    return D(text.replace(",", ".").replace("\u2212", "-"))


def milli(text):
    """Thousandths, half away from zero."""
    return int((number(text) * 1000).quantize(D(1), rounding=decimal.ROUND_HALF_UP))


class Row:
    def __init__(self, line, names, cells, section):
        self.line, self.section = line, section
        self.cells = {}
        self.unit = {}
        for name, cell in zip(names, cells):
            base, _, unit = name.partition(" (")
            self.cells[base] = cell.strip()
            self.unit[base] = unit.rstrip(")")

    def __getitem__(self, name):
        return self.cells.get(name, "")


def read(path):
    """Yield every data row. csv gives no line of a quoted line break, but CareLink has none: lines are rows."""
    names, section = None, ["", "", "", "", ""]
    with open(path, encoding="utf-8-sig", newline="") as file:
        text = file.read()
    delimiter = re.search(r"^[;,]?Index(.)", text, re.M).group(1)
    for line, raw in enumerate(text.splitlines(), 1):
        cells = next(csv.reader([raw], delimiter=delimiter), [])
        if not any(cell.strip() for cell in cells):
            continue
        if cells[0] == "-------":
            section, names = [cell.strip() for cell in cells], None
        elif "Index" in cells[:2]:
            names = [cell.strip() for cell in cells]
        elif names:
            yield Row(line, names, cells, section)


def modern_kind(row):
    """(kind of the row's record, value or None, unit) of a row of 2018 and later."""
    aggregated = row.section[4].startswith("Aggregated")
    glucose = {"mg/dL": "mg/dL", "mmol/L": "mmol/L"}
    if row["New Device Time"]:
        return "device_event", None, None
    if row["Sensor Glucose"]:
        return "cgm", row["Sensor Glucose"], glucose[row.unit["Sensor Glucose"]]
    if row["BG Reading"]:
        return "fingerstick", row["BG Reading"], glucose[row.unit["BG Reading"]]
    if row["Sensor Calibration BG"]:
        return "calibration", row["Sensor Calibration BG"], glucose[row.unit["Sensor Calibration BG"]]
    if row["Bolus Type"] and aggregated:
        return "device_event", row["Bolus Volume Delivered"], "U"
    if row["Bolus Type"]:
        return "bolus", row["Bolus Volume Delivered"] or None, "U"
    if any(row[name] for name in row.cells if name.startswith("BWZ") or name == "Final Bolus Estimate"):
        return "wizard", row["BWZ Estimate"] or None, "U"
    if row["Temp Basal Type"]:
        return "basal", row["Temp Basal Amount"], "%" if "ercent" in row["Temp Basal Type"] else "U/h"
    if row["Suspend"]:
        return "basal", row["Basal Rate"] or None, "U/h"
    if row["Alarm"] or row["Alert"] or row["User Cleared Alerts"]:
        return "alarm", None, None
    if row["Prime Type"]:
        return "device_event", row["Prime Volume Delivered"], "U"
    if row["Rewind"]:
        return "device_event", None, None
    if row["Event Marker"]:
        match = re.match(r"(Insulin|Meal): ([0-9.,]+)", row["Event Marker"])
        return ("note", match[2], {"Insulin": "U", "Meal": "g"}[match[1]]) if match else ("note", None, None)
    if row["Basal Rate"]:
        return "basal", row["Basal Rate"], "U/h"
    if row["Insulin Action Curve Time"]:
        return "settings", None, None
    if row["ISIG Value"]:
        return "cgm", None, None
    return "device_event", None, None


RAW_KINDS = {
    "BolusNormal": "bolus", "BolusSquare": "bolus", "BolusWizardBolusEstimate": "wizard", "UnabsorbedInsulin": "wizard",
    "BasalProfileStart": "basal", "ChangeTempBasal": "basal", "ChangeTempBasalPercent": "basal",
    "ChangeTempBasalNoRate": "basal", "ChangeSuspendEnable": "basal", "BGReceived": "fingerstick",
    "CalBGForPH": "fingerstick", "CalBGForGH": "calibration", "GlucoseSensorData": "cgm", "GlucoseSensorDataHigh": "cgm",
    "GlucoseSensorDataLow": "cgm", "AlarmPump": "alarm", "AlarmSensor": "alarm", "ClearAlarm": "alarm",
    "JournalEntryMealMarker": "carbs", "ResultDailyTotal": "device_event", "Prime": "device_event",
    "Rewind": "device_event", "ChangeTime": "device_event", "ChangeTimeGH": "device_event",
    "ChangeBatteryEnable": "device_event", "ChangeBatteryEnableGH": "device_event",
    "JournalEntryPumpLowBattery": "device_event", "JournalEntryPumpLowReservoir": "device_event",
    "JournalEntryOtherMarker": "note", "SelfTest": "device_event", "SensorStatus": "device_event",
}


def legacy_kind(row):
    raw_type = row["Raw-Type"]
    raw = dict(re.findall(r"([A-Z0-9_]+)=(.*?)(?=, [A-Z0-9_]+=|$)", row["Raw-Values"]))
    kind = RAW_KINDS.get(raw_type) or ("settings" if re.match("Current|Change", raw_type) else "device_event")
    if raw_type in ("BolusNormal", "BolusSquare", "ResultDailyTotal", "Prime"):
        return kind, raw["AMOUNT"], "U"
    if raw_type == "JournalEntryPumpLowReservoir":
        return kind, raw["AMOUNT"], "U"
    if raw_type == "BolusWizardBolusEstimate":
        return kind, raw["BOLUS_ESTIMATE"], "U"
    if raw_type in ("BasalProfileStart", "ChangeTempBasal"):
        return kind, raw["RATE"], "U/h"
    if raw_type == "ChangeTempBasalPercent":
        return kind, raw["PERCENT_OF_RATE"], "%"
    if raw_type == "BGReceived":
        return kind, row["BG Reading"], "mg/dL"
    if raw_type == "CalBGForPH":
        return kind, row["Sensor Calibration BG"], "mg/dL"
    if raw_type == "JournalEntryMealMarker":
        return kind, raw["CARB_INPUT"], "g"
    if raw_type == "CalBGForGH":
        return kind, raw["AMOUNT"], "mg/dL"
    if raw_type == "GlucoseSensorData":
        return kind, row["Sensor Glucose"], "mg/dL"
    return kind, None, None


def wall_clock(row):
    """The form of each file is known here: a spreadsheet's dates have the month first in both of the forms that it left."""
    parts = [int(part) for part in re.split("[/-]", row["Date"])]
    if parts[0] < 1000:
        parts = [parts[2] + (2000 if parts[2] < 100 else 0), parts[0], parts[1]]
    return datetime.datetime(*parts, *(int(part) for part in row["Time"].split(":")))


def possible_utc(local, zone):
    """All UTC times (ms) that a wall-clock time may mean in the zone."""
    found = set()
    for fold in (0, 1):
        aware = local.replace(tzinfo=zone, fold=fold)
        found.add((local - aware.utcoffset() - EPOCH) // MS)
    return found


def device(row):
    return row["Raw-Device Type"] if row["Raw-Type"] else tuple(row.section[1:4:2])


def hour_settings(rows):
    """Clocks that were set by about an hour: [(device, since, before, after)]; since: the last time that it was set the same way, two weeks at most."""
    found = []
    for row in rows:
        numbers = [int(n) for n in re.findall(r"\d+", row["New Device Time"])]
        if not numbers:
            continue
        if numbers[0] < 1000:  # a spreadsheet's: the month first
            numbers = [numbers[2] + (2000 if numbers[2] < 100 else 0), numbers[0], numbers[1], *numbers[3:]]
        before, after = wall_clock(row), datetime.datetime(*numbers)
        if "PM" in row["New Device Time"] and after.hour < 12:
            after += datetime.timedelta(hours=12)
        if 45 * 60 <= abs((after - before).total_seconds()) <= 75 * 60:
            found.append((device(row), before, after))
    return [(d, max([before - datetime.timedelta(days=14), *(a for e, b, a in found if e == d and b < before and (a > b) == (after > before))]), before, after)
            for d, before, after in found]


@functools.lru_cache(100000)
def last_change(hour, zone):
    """Of the zone before this hour of a wall clock, fifteen days back at most: (offset before, offset after), or None."""
    later = (hour + datetime.timedelta(hours=3)).replace(tzinfo=zone).utcoffset()
    for n in range(15 * 24):
        offset = (hour - datetime.timedelta(hours=n)).replace(tzinfo=zone).utcoffset()
        if offset != later:
            return (offset, later)
    return None


def late_utc(row, local, zone, settings):
    """UTC times that a clock says which had not followed the zone yet: (times, whether it is certain that it had not)."""
    for d, since, before, after in settings:
        if d != device(row) or not since < local <= before:
            continue
        change = last_change(local.replace(minute=0, second=0), zone)
        if change and (change[1] > change[0]) == (after > before):
            return {(local - change[0] - EPOCH) // MS}, after > before or local < after
    return set(), False


class Check:
    def __init__(self):
        self.n_failed = 0

    def that(self, fact, *what):
        if not fact:
            self.n_failed += 1
            if self.n_failed <= 20:
                print("WRONG:", *what)


def compare_record(check, row, record, zone, settings):
    kind, value, unit = legacy_kind(row) if row["Raw-Type"] else modern_kind(row)
    local = wall_clock(row)
    check.that(record["local_ms"] == (local - EPOCH) // MS, "local time of line", row.line, record)
    late, certain = late_utc(row, local, zone, settings)
    check.that(record["utc_ms"] in (late if certain else late | possible_utc(local, zone)), "UTC of line", row.line, record)
    check.that(record["local_ms"] - record["utc_ms"] == record["offset_min"] * 60000, "offset of line", row.line)

    # what was sent for calibration and is no echo of a known reading
    if kind == "fingerstick" and row["BG Source"] == "BG_SENT_FOR_CALIB":
        kind = "calibration"
    check.that(record["kind"] == kind, "kind of line", row.line, record["kind"], "instead of", kind)

    has_value = bool(record["flags"] & 1)
    expects_value = value not in (None, "") and not (unit in ("mg/dL", "mmol/L") and number(value) == 0)
    check.that(has_value == expects_value, "line", row.line, "has a value:", has_value, value)
    if has_value and expects_value:
        check.that(record["value_milli"] == milli(value), "value of line", row.line, record["value_milli"], value)
        check.that(record["unit"] == unit, "unit of line", row.line, record["unit"], unit)


def compare_merged(check, row, into, record):
    """A merged row has to be the same event, by rules that need no order."""
    delta_s = int((wall_clock(into) - wall_clock(row)).total_seconds())
    if row["Bolus Type"] and row["Bolus Number"]:
        check.that(row["Bolus Number"] == into["Bolus Number"] and row["Bolus Type"] == into["Bolus Type"] and
                   into["Bolus Volume Delivered"] and 0 <= delta_s <= 10 * 3600, "bolus of line", row.line, "in", into.line)
        if not row["Bolus Volume Delivered"] and row["Bolus Volume Selected"]:
            check.that(row["Bolus Volume Selected"] == into["Bolus Volume Selected"], "volume of line", row.line)
            check.that(record["fields"]["start_delay_s"] == delta_s, "delay of line", row.line)
    elif row["BG Reading"] and row["BG Source"]:
        check.that(row["BG Reading"] == into["BG Reading"] and row["Linked BG Meter ID"] == into["Linked BG Meter ID"] and
                   -900 <= delta_s <= 0 and into["BG Source"] in ("BG_READIN_RECEIVED", "ENTERED_IN_BG_ENTRY"),
                   "reading of line", row.line, "in", into.line)
        check.that(row["BG Source"] in record["fields"]["glucose_source"], "source word of line", row.line)
    elif row["Raw-Type"] == "CalBGForPH":
        check.that(into["Raw-Type"] == "BGReceived" and into["BG Reading"] == row["Sensor Calibration BG"] and delta_s == 0,
                   "reading of line", row.line)
    elif row["Raw-Type"] == "UnabsorbedInsulin":
        check.that(re.search(r"BOLUS_ESTIMATE_DATUM=(\d+)", row["Raw-Values"])[1] == into["Raw-ID"] and delta_s == 0,
                   "estimate of line", row.line)
        raw = dict(re.findall(r"([A-Z_]+)=([^,]+)", row["Raw-Values"]))
        text = "unabsorbed %(INDEX)s=%(AMOUNT)s U, %(RECORD_AGE)s of %(INSULIN_ACTION_CURVE)s min" % raw
        check.that(text in record["fields"]["extra"].split("\t"), "content of line", row.line)
    elif row["Raw-Type"] == "ChangeTempBasalNoRate":
        check.that(into["Raw-Type"].startswith("ChangeTempBasal") and delta_s == 0, "temp basal of line", row.line)
    elif row["Final Bolus Estimate"]:
        check.that(into["BWZ Estimate"] and delta_s == 0, "estimate of line", row.line)
        check.that(record["fields"]["final_estimate"] == milli(row["Final Bolus Estimate"]), "final estimate of line", row.line)
    else:
        # else only a row that is the same but for its index; a rewind's rate may stand alone as well
        same = {k: v for k, v in row.cells.items() if k != "Index" and v}
        other = {k: v for k, v in into.cells.items() if k != "Index" and v}
        check.that(same.items() <= other.items(), "line", row.line, "is not in line", into.line, same, other)


def insulin(rows, records, check):
    """What was delivered is counted once: the raw delivered cells and the records' values are the same sum."""
    raw = sum((number(row["Bolus Volume Delivered"]) for row in rows.values()
               if row["Bolus Volume Delivered"] and not row["Raw-Type"] and not row.section[4].startswith("Aggregated")), D(0))
    raw += sum((number(re.match(r"AMOUNT=([0-9.]+)", row["Raw-Values"])[1]) for row in rows.values()
                if row["Raw-Type"].startswith("Bolus") and row["Raw-Type"] != "BolusWizardBolusEstimate"), D(0))
    ours = sum(D(r["value_milli"]) for r in records if r["kind"] == "bolus" and not r["extra"]) / 1000
    check.that(raw == ours, "insulin", raw, "in the file,", ours, "in the records")
    return ours


def main():
    dump, name, zone_name = sys.argv[1:4]
    root = os.environ.get("CAREWALLET_SHARED") or os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
    path = os.path.join(root, "data", "carelink-csv", name)
    if not os.path.exists(path):
        print("skipped: no reference data (CAREWALLET_SHARED)")
        return 77

    zone = zoneinfo.ZoneInfo(zone_name)
    if len(sys.argv) > 4:
        output = subprocess.run([dump, path, zone_name], stdout=subprocess.PIPE, check=True).stdout
        events = [json.loads(line) for line in output.decode().splitlines()]
        print(name, events)
        return 0 if len(events) == 1 and events[0]["event"] == "refused" and sys.argv[4] in events[0]["text"] else 1
    rows = {row.line: row for row in read(path)}
    output = subprocess.run([dump, path, zone_name], stdout=subprocess.PIPE, check=True).stdout
    events = [json.loads(line) for line in output.decode().splitlines()]
    by_event = collections.defaultdict(list)
    for event in events:
        by_event[event["event"]].append(event)
    check = Check()
    check.that(len(by_event["end"]) == 1, "no end", events[-1:])
    if check.n_failed:
        return 1
    end = by_event["end"][0]

    own = {r["line"]: r for r in by_event["record"] if not r["extra"]}
    explained = collections.Counter(list(own) + [m["line"] for m in by_event["merged"]] + [r["line"] for r in by_event["rejected"]])
    check.that(set(explained) == set(rows), "rows without or beyond explanation", sorted(set(explained) ^ set(rows))[:10])
    check.that(max(explained.values()) == 1, "rows explained twice", [k for k, v in explained.items() if v > 1][:10])
    check.that(len(own) == sum(not r["extra"] for r in by_event["record"]), "two records of one row")

    keys = collections.Counter((r["kind"], r["local_ms"], r["identity"]) for r in by_event["record"])
    check.that(max(keys.values()) == 1, "an identity given twice", keys.most_common(2))

    settings = hour_settings(rows.values())
    for line, record in own.items():
        compare_record(check, rows[line], record, zone, settings)
    extras = collections.defaultdict(list)
    for record in by_event["record"]:
        if record["extra"]:
            extras[record["line"], record["kind"]].append(record)
    for merged in by_event["merged"]:
        into = own.get(merged["into"])
        extra = extras[merged["into"], merged["kind"]]
        check.that(extra or (into and into["kind"] == merged["kind"]), "merged into another kind", merged)
        if merged["into"] in rows and (into or extra):
            compare_merged(check, rows[merged["line"]], rows[merged["into"]], into or extra[0])
    for record in by_event["record"]:
        if record["extra"]:
            check.that(record["kind"] in ("carbs", "basal", "bolus"), "an extra record of kind", record["kind"])
    units = insulin(rows, by_event["record"], check)

    print("%s: %d rows, %d rejected, insulin delivered %s U" % (name, len(rows), end["rejected"], units))
    print("  %-14s %8s %8s %8s %8s" % ("kind", "rows", "records", "merged", "extra"))
    totals = collections.Counter()
    expected = collections.Counter()
    for row in rows.values():
        kind = (legacy_kind(row) if row["Raw-Type"] else modern_kind(row))[0]
        expected[kind] += 1
    for kind, (n_records, n_merged, n_extra) in end["kinds"].items():
        check.that(n_records == sum(r["kind"] == kind for r in own.values()), "records counted", kind)
        check.that(n_merged == sum(m["kind"] == kind for m in by_event["merged"]), "merged counted", kind)
        check.that(n_extra == sum(r["kind"] == kind and r["extra"] for r in by_event["record"]), "extra counted", kind)
        totals["records"] += n_records
        totals["merged"] += n_merged
        if n_records or n_merged or n_extra or expected[kind]:
            print("  %-14s %8d %8d %8d %8d" % (kind, expected[kind], n_records, n_merged, n_extra))
        rejected = sum(1 for r in by_event["rejected"]
                       if (legacy_kind if rows[r["line"]]["Raw-Type"] else modern_kind)(rows[r["line"]])[0] == kind)
        # what was sent for calibration without a known reading is a calibration
        moved = sum(rows[line]["BG Source"] == "BG_SENT_FOR_CALIB" and r["kind"] == "calibration" for line, r in own.items())
        moved = {"fingerstick": -moved, "calibration": moved}.get(kind, 0)
        check.that(expected[kind] + moved == n_records + n_merged + rejected, "rows of kind", kind, expected[kind], n_records, n_merged, rejected)
    check.that(end["rows"] == len(rows) == totals["records"] + totals["merged"] + end["rejected"], "the sum", end, totals)

    print("  wrong: %d" % check.n_failed)
    return 1 if check.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
