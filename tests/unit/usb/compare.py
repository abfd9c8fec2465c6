#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what the decoders make of real pages with the maker's own exports of the same pump, field for field.

compare.py DUMP-PAGES csv MODEL SERIAL ZONE CSV-FILE PAGE-FOLDER    the maker's own export
compare.py DUMP-PAGES identity MODEL SERIAL ZONE CSV-FILE PAGE-FOLDER DUMP-FRAMES    what the importer makes of that export

Shares no code with the decoders. Prints a table: compared, equal, different. Exit status 77 says skipped.
"""
import collections
import csv
import datetime
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("CAREWALLET_SHARED") or os.path.join(HERE, "../../../../shared")
DATA = os.path.join(SHARED, "data")
EPOCH = datetime.datetime(1970, 1, 1)
table = collections.defaultdict(lambda: [0, 0, 0])
shown = collections.Counter()


def compare(what, ours, theirs, where):
    row = table[what]
    row[0] += 1
    if ours == theirs:
        row[1] += 1
        return
    row[2] += 1
    shown[what] += 1
    if shown[what] <= 5:
        print(f"  {where}: {what}: ours {ours!r}, theirs {theirs!r}")


def finish(at_least):
    print(f"{'':44}{'compared':>9}{'equal':>8}{'different':>10}")
    total = [0, 0, 0]
    for what in sorted(table):
        print(f"{what:44}{table[what][0]:9}{table[what][1]:8}{table[what][2]:10}")
        total = [a + b for a, b in zip(total, table[what])]
    print(f"{'all':44}{total[0]:9}{total[1]:8}{total[2]:10}")
    if total[0] < at_least:
        sys.exit(f"only {total[0]} comparisons, at least {at_least} were expected")
    sys.exit(1 if total[2] else 0)


def need(path):
    if not os.path.exists(path):
        print(f"skipped: {path} is not there (CAREWALLET_SHARED)")
        sys.exit(77)
    return path


def dump(program, model, serial, zone, pages):
    done = subprocess.run([program, model, serial, zone, *pages], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def number_of(path):
    return int(re.search(r"page-(\d+)\.data$", path).group(1))


def pages_of(folder):
    pages = [f"h:{p}" for p in sorted(glob.glob(f"{folder}/ReadHistoryData-page-*.data"), key=number_of)]
    for path in sorted(glob.glob(f"{folder}/*ReadGlucoseHistory-page-*.data")):
        isig = path.replace("Glucose", "ISIG")
        pages.append(f"g:{path}:{isig}" if os.path.exists(isig) else f"g:{path}")
    return pages


def milli(text):
    return round(float(text) * 1000)


def ms_of(moment):
    return int((moment - EPOCH).total_seconds() * 1000)


def local(ms):
    return (EPOCH + datetime.timedelta(milliseconds=ms)).isoformat(" ")


# --- the maker's CSV ---

def pairs(text):
    return dict(p.split("=", 1) for p in re.split(r", (?=[A-Z0-9_]+=)", text)) if text else {}


def enum(v, key):
    return None if v.get(key) in (None, "null") else v[key]


GLUCOSE = {"GlucoseSensorData", "GlucoseSensorDataLow", "GlucoseSensorDataHigh"}


def bolus(v):
    dual = v["IS_DUAL_COMPONENT"] == "true"
    square = "DURATION" in v
    out = {"value_milli": milli(v["AMOUNT"]), "delivered": milli(v["AMOUNT"]), "programmed": milli(v["PROGRAMMED_AMOUNT"]),
           "type": ("dual_square" if dual else "square") if square else ("dual_normal" if dual else "normal"), "origin": v["ACTION_REQUESTOR"]}
    if square:
        out["duration_s"] = int(v["DURATION"]) // 1000
    if enum(v, "UNABSORBED_INSULIN_TOTAL"):
        out["unabsorbed"] = milli(v["UNABSORBED_INSULIN_TOTAL"])
    return out


def wizard(v):
    out = {"value_milli": milli(v["BOLUS_ESTIMATE"]), "carbs": milli(v["CARB_INPUT"]), "carb_ratio": milli(v["CARB_RATIO"]),
           "correction_estimate": milli(v["CORRECTION_ESTIMATE"]), "food_estimate": milli(v["FOOD_ESTIMATE"]),
           "unabsorbed": milli(v["UNABSORBED_INSULIN_TOTAL"]), "origin": v["ACTION_REQUESTOR"],
           "glucose_unit": "mg_dl" if v["BG_UNITS"] == "mg dl" else "mmol_l", "carb_unit": "gram" if v["CARB_UNITS"] == "grams" else "exchange"}
    for key, name in (("INSULIN_SENSITIVITY", "sensitivity"), ("BG_TARGET_LOW", "target_low"), ("BG_TARGET_HIGH", "target_high"), ("BG_INPUT", "glucose_input")):
        if float(v[key]):
            out[name] = milli(v[key])
    return out


def temp(v):
    return {"value_milli": milli(v.get("PERCENT_OF_RATE") or v["RATE"]), "duration_s": int(v["DURATION"]) // 1000, "origin": v["ACTION_REQUESTOR"]}


def reading(v):
    out = {"isig": milli(v["ISIG"])}
    out["value_milli"] = milli(v["AMOUNT"])
    return out


def values(*keys):
    return lambda v: {"text_device": ", ".join(f"{k}={v[k]}" for k in keys if enum(v, k) is not None) or None}


CSV = {
    "BolusNormal": ("bolus", bolus),
    "BolusSquare": ("bolus", bolus),
    "BolusWizardBolusEstimate": ("wizard", wizard),
    "BasalProfileStart": ("basal", lambda v: {"value_milli": milli(v["RATE"]), "index": int(v["PROFILE_INDEX"]), "start_s": int(v["START_TIME"]) // 1000, "type": "rate", "origin": v["ACTION_REQUESTOR"]}),
    "ChangeTempBasal": ("basal", temp),
    "ChangeTempBasalPercent": ("basal", temp),
    "ChangeSuspendEnable": ("basal", lambda v: {"type": "resume" if v["ENABLE"] == "normal_pumping" else "suspend", "reason": v["ENABLE"], "origin": v["ACTION_REQUESTOR"]}),
    "BGReceived": ("fingerstick", lambda v: {"value_milli": milli(v["AMOUNT"]), "linked_meter": "#" + v["PARADIGM_LINK_ID"]}),
    "CalBGForPH": ("fingerstick", lambda v: {"value_milli": milli(v["AMOUNT"])}),
    "CalBGForGH": ("calibration", lambda v: {"value_milli": milli(v["AMOUNT"])}),
    "GlucoseSensorData": ("cgm", reading),
    "GlucoseSensorDataLow": ("cgm", lambda v: {"isig": milli(v["ISIG"]), "flags": 2}),
    "GlucoseSensorDataHigh": ("cgm", lambda v: {"isig": milli(v["ISIG"]), "flags": 4}),
    "AlarmPump": ("alarm", lambda v: {"code": int(v["RAW_TYPE"]), "raw_values": f"RAW_MODULE={v['RAW_MODULE']}, LINE_NUM={v['LINE_NUM']}"}),
    "AlarmSensor": ("alarm", lambda v: {"code": int(v["ALARM_TYPE"]), "raw_values": f"AMOUNT={v['AMOUNT']}, ACTION_REQUESTOR=sensor"}),
    "ClearAlarm": ("alarm", lambda v: {"code": int(v["ALARM_TYPE"]), "cleared": "yes"}),
    "Prime": ("device_event", lambda v: {"value_milli": milli(v["AMOUNT"]), "programmed": milli(v["PROGRAMMED_AMOUNT"]), "text_device": v["PRIME_TYPE"], "origin": v["ACTION_REQUESTOR"]}),
    "Rewind": ("device_event", lambda v: {"type": "rewind", "origin": v["ACTION_REQUESTOR"]}),
    "SelfTest": ("device_event", lambda v: {"origin": v["ACTION_REQUESTOR"]}),
    "SaveSettings": ("device_event", lambda v: {"origin": v["ACTION_REQUESTOR"]}),
    "ResultDailyTotal": ("device_event", lambda v: {"value_milli": milli(v["AMOUNT"]), "type": "daily_total"}),
    "JournalEntryPumpLowReservoir": ("device_event", lambda v: {"value_milli": milli(v["AMOUNT"]), "origin": v["ACTION_REQUESTOR"]}),
    "JournalEntryPumpLowBattery": ("device_event", lambda v: {"type": "battery"}),
    "ChangeBatteryEnable": ("device_event", values("ENABLE")),
    "ChangeTime": ("device_event", lambda v: {"new_time": (EPOCH + datetime.timedelta(milliseconds=int(v["NEW_TIME"]))).isoformat(), "origin": v["ACTION_REQUESTOR"]}),
    "JournalEntryMealMarker": ("carbs", lambda v: {"value_milli": milli(v["CARB_INPUT"]), "origin": v["ACTION_REQUESTOR"]}),
    "JournalEntryOtherMarker": ("note", lambda v: {}),
    "SensorCal": ("device_event", values("CAL_TYPE", "ISIG")),
    "SensorPacket": ("device_event", values("PACKET_TYPE", "ISIG")),
    "SensorError": ("device_event", values("ERROR_TYPE")),
    "SensorWeakSignal": ("device_event", lambda v: {}),
    "SensorTimestamp": ("device_event", values("TIMESTAMP_TYPE")),
    "SensorStatus": ("device_event", values("STATUS_TYPE")),
    "SensorSync": ("device_event", values("SYNC_TYPE")),
    "SensorCalFactor": ("device_event", values("CAL_FACTOR")),
    "ChangeActiveBasalProfilePattern": ("settings", lambda v: {"setting_value": f"PATTERN_NAME={v['PATTERN_NAME']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeChildBlockEnable": ("settings", lambda v: {"setting_value": f"ENABLE={v['ENABLE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeBolusWizardEnable": ("settings", lambda v: {"setting_value": f"ENABLE={v['ENABLE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeVariableBolusEnable": ("settings", lambda v: {"setting_value": f"ENABLE={v['ENABLE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeWatchdogEnable": ("settings", lambda v: {"setting_value": f"ENABLE={v['ENABLE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeCaptureEventEnable": ("settings", lambda v: {"setting_value": f"ENABLE={v['ENABLE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeBGReminderEnable": ("settings", lambda v: {"setting_value": f"ENABLE={v['ENABLE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeMaxBasal": ("settings", lambda v: {"setting_value": f"RATE={v['RATE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeMaxBolus": ("settings", lambda v: {"setting_value": f"AMOUNT={v['AMOUNT']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeTempBasalNoRate": ("basal", lambda v: {"type": "temp", "duration_s": int(v["DURATION"]) // 1000, "origin": v["ACTION_REQUESTOR"]}),
    "ChangeTempBasalType": ("settings", lambda v: {"setting_value": f"TEMP_BASAL_TYPE={v['TEMP_BASAL_TYPE']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
    "ChangeTimeDisplayFormat": ("settings", lambda v: {"setting_value": f"FORMAT={v['FORMAT']}, ACTION_REQUESTOR={v['ACTION_REQUESTOR']}"}),
}
FROM_SENSOR = {"cgm", "calibration"}


def is_sensor(raw_type, kind):
    return kind in FROM_SENSOR or raw_type.startswith("Sensor")


def read_csv(path, model):
    rows = list(csv.reader(open(path, encoding="utf-8-sig")))
    at = next((i for i, row in enumerate(rows) if row and row[0] == "Index"), None)
    names = rows[at]
    for row in rows[at + 1:]:
        if len(row) == len(names):
            d = dict(zip(names, row))
            if str(model) in d["Raw-Device Type"]:
                moment = datetime.datetime.strptime(d["Timestamp"], "%m/%d/%y %H:%M:%S")
                yield d["Raw-Type"], ms_of(moment), pairs(d["Raw-Values"]), d


def flat(record):
    out = dict(record["fields"])
    for name in ("value_milli", "flags"):
        out[name] = record[name]
    return out


def compare_csv(program, model, serial, zone, path, folder):
    path, folder = need(os.path.join(DATA, "carelink-csv", path)), need(os.path.join(DATA, "pump-history", folder))
    objects = dump(program, model, serial, zone, pages_of(folder))
    records = [o for o in objects if o["event"] == "record" and not o["extra"]]
    for o in objects:
        if o["event"] == "rejected":
            print("  rejected:", o["reason"])

    ours = collections.defaultdict(list)
    for r in records:
        source = r["fields"].get("raw_type")
        ours[source, r["local_ms"]].append(r)
        # what a meter sent and the pump noted at once is one record here, two rows there
        if r["fields"].get("glucose_source") == "BGReceived,CalBGForPH":
            ours["CalBGForPH", r["local_ms"]].append(r)
    theirs, earlier = collections.defaultdict(list), collections.defaultdict(list)
    for raw_type, ms, v, _ in read_csv(path, model):
        if raw_type == "UnabsorbedInsulin":
            earlier[ms].append((int(v["INDEX"]), milli(v["AMOUNT"]), int(v["RECORD_AGE"])))
        if raw_type in CSV:
            theirs[raw_type, ms].append(v)

    # only the time that both have; a daily total is written the next midnight
    DAY = 86400000
    span = {}
    for sensor in (False, True):
        a = [ms for (t, ms) in ours if t in CSV and is_sensor(t, CSV[t][0]) == sensor and t != "ResultDailyTotal"]
        b = [ms for (t, ms) in theirs if is_sensor(t, CSV[t][0]) == sensor and t != "ResultDailyTotal"]
        span[sensor] = (max(min(a), min(b)), min(max(a), max(b))) if a and b else (1, 0)
        if a and b:
            print(f"{'sensor' if sensor else 'pump'}: {local(span[sensor][0])} to {local(span[sensor][1])}")

    for key in sorted(set(ours) | set(theirs), key=lambda k: (k[1], str(k[0]))):
        raw_type, ms = key
        if raw_type not in CSV:
            continue
        low, high = span[is_sensor(raw_type, CSV[raw_type][0])]
        if is_sensor(raw_type, CSV[raw_type][0]):
            high -= 300000  # the pump goes on writing its newest timestamp
        if not low < ms < high or (raw_type == "ResultDailyTotal" and ms + DAY > high):
            continue
        want = [CSV[raw_type][1](v) for v in theirs[key]]
        have = [flat(r) for r in ours[key]]
        compare(f"{raw_type}: rows", len(have), len(want), local(ms))
        if len(want) != len(have):
            continue
        order = lambda d: (d.get("value_milli") or 0, str(d.get("type")), d.get("programmed") or 0, d.get("code") or 0)
        fields = set().union(*want)
        if "value_milli" not in fields:
            order = lambda d: (str(d.get("type")), d.get("code") or 0, str(d.get("text_device")), str(d.get("raw_values")), str(d.get("setting_value")))
        for w, h in zip(sorted(want, key=order), sorted(have, key=order)):
            for name in w:
                if name == "isig" and "isig" not in h:
                    continue  # the page of currents was not recorded
                if raw_type == "GlucoseSensorData" and name == "value_milli" and "isig" not in h:
                    # nor the last bit of a large pump's reading, which is there
                    compare("GlucoseSensorData: value_milli, no currents", h[name], w[name] // 2000 * 2000 if int(model) % 100 >= 23 else w[name], local(ms))
                    continue
                if name == "text_device" and w[name] and ", ISIG=" not in str(h.get(name)):
                    w[name] = w[name].split(", ISIG=")[0]
                compare(f"{raw_type}: {name}", h.get(name), w[name], local(ms))
        # what an estimate still counted: rows of their own there
        if raw_type == "BolusWizardBolusEstimate" and len(have) == 1:
            counted = [(int(i), milli(u), int(age)) for i, u, age in re.findall(r"unabsorbed (\d+)=([\d.]+) U, (\d+) min", have[0].get("extra", ""))]
            compare("UnabsorbedInsulin: rows", len(counted), len(earlier[ms]), local(ms))
            for a, b in zip(counted, sorted(earlier[ms])):
                for name, x, y in zip(("index", "amount", "age"), a, b):
                    compare(f"UnabsorbedInsulin: {name}", x, y, local(ms))
    compare_tables(records, path, model)
    finish(100)


# --- settings that are tables: a row for each part there, one record here ---

def clock(milliseconds):
    return f"{int(milliseconds) // 3600000:02}:{int(milliseconds) // 60000 % 60:02}"


def table_text(rows, value, start="START_TIME"):
    return ", ".join(f"{clock(v[start])} {value(v)}" for v in rows)


def wizard_text(by_id, parts, datum):
    v = by_id[datum]
    ratios, sensitivities, targets = (parts[v[f"{name}_PATTERN_DATUM"]] for name in ("CARB_RATIO", "INSULIN_SENSITIVITY", "BG_TARGET_RANGE"))
    assert v["CARB_UNITS"] == "grams" and v["BG_UNITS"] == "mg dl"
    return (f"carb ratio {table_text(ratios, lambda v: v['AMOUNT'])} g/U; sensitivity {table_text(sensitivities, lambda v: v['AMOUNT'])} mg/dL per U; "
            f"target {table_text(targets, lambda v: v['AMOUNT_LOW'] + '-' + v['AMOUNT_HIGH'])} mg/dL; insulin action {int(v['INSULIN_ACTION_CURVE']) // 60} h")


def sensor_text(by_id, parts, datum):
    v = by_id[datum]
    minutes = {key: int(v[key]) // 60000 for key in v if key.endswith("_TIME")}
    assert v["BG_UNITS"] == "mg dl"
    return (f"sensor {'on' if v['IS_SENSOR_ENABLED'] == 'true' else 'off'}, high limit {v['HIGH_GLUCOSE_LIMIT']} mg/dL, low limit {v['LOW_GLUCOSE_LIMIT']} mg/dL, "
            f"high snooze {minutes['HIGH_GLUCOSE_SNOOZE_TIME']} min, low snooze {minutes['LOW_GLUCOSE_SNOOZE_TIME']} min, alarm snooze {minutes['ALARM_SNOOZE_TIME']} min, "
            f"calibration reminder {minutes['CAL_REMINDER_TIME']} min, missed data {minutes['MISSED_DATA_TIME']} min")


def compare_tables(records, path, model):
    rows = list(read_csv(path, model))
    by_id = {d["Raw-ID"]: v for _, _, v, d in rows}
    parts = collections.defaultdict(list)
    for _, _, v, _ in sorted(rows, key=lambda row: int(row[2].get("PROFILE_INDEX") or row[2].get("INDEX") or 0)):
        if "PATTERN_DATUM" in v:
            parts[v["PATTERN_DATUM"]].append(v)
    want = {}
    for raw_type, ms, v, d in rows:
        if raw_type in ("ChangeBasalProfilePattern", "ChangeBasalProfilePatternPre"):
            text = f"{v['PATTERN_NAME']}: " + (", ".join(f"{clock(p['START_TIME'])} {p['RATE']} U/h" for p in parts[d["Raw-ID"]]) or "empty")
            want.setdefault((raw_type, ms), []).append((text, None))
        elif raw_type in ("ChangeBolusWizardSetup", "ChangeSensorSetup"):
            want.setdefault((raw_type, ms), []).append((v["NEW_CONFIG_DATUM"], v["OLD_CONFIG_DATUM"]))
    for r in records:
        key = r["fields"].get("raw_type"), r["local_ms"]
        if len(want.get(key, ())) == 1:
            text, before = want[key][0]
            if before:
                words = wizard_text if key[0] == "ChangeBolusWizardSetup" else sensor_text
                text, before = words(by_id, parts, text), words(by_id, parts, before)
            compare(f"{key[0]}: table", r["fields"].get("setting_value"), text, local(key[1]))
            if before:
                compare(f"{key[0]}: table before", r["fields"].get("extra"), f"before={before}", local(key[1]))


# --- once across paths ---

def compare_identity(program, model, serial, zone, path, folder, dump_frames):
    """The same pump by its pages and by its CSV: the same identity for each event, and the same content."""
    path, folder = need(os.path.join(DATA, "carelink-csv", path)), need(os.path.join(DATA, "pump-history", folder))
    ours = {(o["kind"], o["local_ms"], o["identity"]): o for o in dump(program, model, serial, zone, pages_of(folder)) if o["event"] == "record"}
    done = subprocess.run([dump_frames, path, zone], capture_output=True, text=True, check=True)
    theirs = {}
    for line in done.stdout.splitlines():
        o = json.loads(line)
        if o["event"] == "record":
            theirs[o["kind"], o["local_ms"], o["identity"]] = o
    mine = next(iter(ours))[2][:16]
    other = collections.Counter()
    sensor = lambda o: is_sensor(o["fields"].get("raw_type", ""), o["kind"])
    span = {}
    for key in theirs:
        if key[2][:16] == mine and key in ours:
            span.setdefault(sensor(ours[key]), []).append(key[1])
    for key, o in sorted(ours.items(), key=lambda i: i[0][1]):
        times = span.get(sensor(o), [0])
        if not min(times) < key[1] < max(times):
            continue
        name = o["fields"].get("raw_type", "-")
        if name.islower() or o["kind"] == "settings" and name not in CSV:
            other[name] += 1
            continue
        compare(f"{o['kind']}: in both", key in theirs, True, f"{local(key[1])} {name}")
        if key not in theirs:
            continue
        t = theirs[key]
        late = o["utc_ms"] != t["utc_ms"] or o["clock"] == "skipped"  # an export says that the clock was set soon afterwards, pages do not yet
        for field in ("value_milli", "unit", "flags") if late else ("value_milli", "unit", "flags", "clock", "utc_ms"):
            compare(f"{o['kind']}: {field}", o[field], t[field], f"{local(key[1])} {name}")
        for field, value in o["fields"].items():
            if field not in ("raw_type", "extra", "setting_value") and not str(value).startswith("bytes="):
                compare(f"{o['kind']}: {field}", value, t["fields"].get(field), f"{local(key[1])} {name}")
    print("not in any CSV, or in other words there:", dict(other))
    finish(100)


def main():
    program, mode, *rest = sys.argv[1:]
    {"csv": compare_csv, "identity": compare_identity}[mode](program, *rest)


if __name__ == "__main__":
    main()
