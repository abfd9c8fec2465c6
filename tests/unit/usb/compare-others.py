#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what the decoders make of real pages with what other projects make of them, and what becomes of them as files.

compare-others.py DUMP-PAGES ecc1                       ecc1's records
compare-others.py DUMP-PAGES decocare MODEL FOLDER      decocare's, where it is right
compare-others.py DUMP-PAGES loopkit                    what LoopKit's tests say of their pages
compare-others.py DUMP-PAGES files DUMP-FRAMES          the importer's way to the same pages, and to downloads that went wrong
compare-others.py DUMP-PAGES failed                     downloads that went wrong

Shares no code with the decoders. Prints a table: compared, equal, different. Exit status 77 says skipped.
"""
import base64
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import DATA, compare, dump, finish, flat, local, milli, need, pages_of  # noqa: E402


# --- ecc1: bytes, time and meaning of every record ---

ECC1_MODELS = {"512": "512", "515": "515", "522": "522", "523": "523", "551": "551", "554": "554"}


def go_duration(text):
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1}[u] for n, u in re.findall(r"([\d.]+)([hms])", text))


NAMES = {  # opcode: what its records are called
    0x01: ("BolusNormal", "BolusSquare"), 0x03: ("Prime",), 0x06: ("AlarmPump",), 0x07: ("ResultDailyTotal",), 0x0a: ("CalBGForPH",),
    0x0b: ("AlarmSensor",), 0x0c: ("ClearAlarm",), 0x2f: ("BolusWizardBolusEstimate",), 0x33: ("ChangeTempBasal", "ChangeTempBasalPercent"),
    0x34: ("JournalEntryPumpLowReservoir",), 0x39: ("BGReceived",), 0x3f: ("BGReceived",), 0x40: ("JournalEntryMealMarker",),
    0x08: ("ChangeBasalProfilePatternPre",), 0x09: ("ChangeBasalProfilePattern",), 0x5a: ("ChangeBolusWizardSetup",),
    0x42: ("JournalEntryInsulinMarker",), 0x5b: ("BolusWizardBolusEstimate",), 0x7b: ("BasalProfileStart",),
}


def record_of(objects):
    """Finds the record of an entry, where there is no other like it in that second."""
    by_place = collections.defaultdict(list)
    for o in objects:
        if o["event"] == "record" and not o["extra"]:
            by_place[o["local_ms"], o["fields"].get("raw_type")].append(o)
    entries = collections.Counter((o["local_ms"], o["op"]) for o in objects if o["event"] == "entry")

    def find(entry):
        found = [r for name in NAMES.get(entry["op"], ()) for r in by_place[entry["local_ms"], name]]
        return found[0] if len(found) == 1 and entries[entry["local_ms"], entry["op"]] == 1 else None
    return find


def ecc1_wizard(setup, text, where):
    """Its lists have one zero where a pump has none; and it reads a large pump's sensitivities two bytes too early."""
    if text == "not set":
        compare("BolusWizardSetup: not set", any(r["Ratio"] for r in setup["Ratios"]), False, where)
        return
    lists = {part.split(" ", 1)[0]: part for part in text.replace("carb ratio", "ratio").split("; ")}
    for key, ours, value in (("Ratios", "ratio", lambda i: i["Ratio"]), ("Sensitivities", "sensitivity", lambda i: i["Sensitivity"]),
                             ("Targets", "target", lambda i: i["Low"])):
        theirs = [i for i in setup[key] if value(i)]
        if key == "Sensitivities" and not theirs and re.search("523|554", where):
            continue
        mmol = theirs and theirs[0]["Units"] == "\u03bcmol/L"
        scale = (lambda number: f"{number / 1000:g}") if mmol else (lambda number: f"{number:g}")
        words = ", ".join(f"{i['Start']} " + (f"{scale(i['Low'])}-{scale(i['High'])}" if key == "Targets" else scale(value(i))) for i in theirs)
        have = re.sub(r"^\w+ | (g/U|U/exchange|mg/dL per U|mmol/L per U|mg/dL|mmol/L)$", "", lists.get(ours, ""))
        compare(f"BolusWizardSetup: {ours}", have, words, where)
        if theirs:
            unit = {"\u03bcmol/L": "mmol/L", "mg/dL": "mg/dL", "Grams": "g/U", "Exchanges": "U/exchange"}[theirs[0]["Units"]]
            compare(f"BolusWizardSetup: unit of {ours}", unit in lists[ours], True, where)
    compare("BolusWizardSetup: insulin action", lists["insulin"], f"insulin action {go_duration(setup['InsulinAction']) / 3600:g} h", where)


def ecc1_info(kind, info, r, where):
    f = r["fields"]
    if kind == "Bolus":
        compare("Bolus: programmed", f["programmed"], milli(info["Programmed"]), where)
        compare("Bolus: amount", f["delivered"], milli(info["Amount"]), where)
        compare("Bolus: duration", f.get("duration_s", 0), go_duration(info["Duration"]), where)
    elif kind.startswith("BolusWizard") and "BolusEstimate" in r["fields"]["raw_type"]:
        mmol = 1 if info["GlucoseUnits"] != "mg/dL" else 1000  # it has umol/L
        exchange = info["CarbUnits"] == "Exchanges"
        compare("BolusWizard: glucose", f.get("glucose_input", 0), info["GlucoseInput"] * mmol, where)
        compare("BolusWizard: carbs", f["carbs"], info["CarbInput"] * (100 if exchange else 1000), where)
        for ours, theirs in (("sensitivity", "Sensitivity"), ("target_low", "TargetLow"), ("target_high", "TargetHigh")):
            compare(f"BolusWizard: {ours}", f.get(ours, 0), info[theirs] * mmol, where)
        # it leaves out the bits above 25.5 U
        for ours, theirs in ((f["food_estimate"], "Food"), (f["unabsorbed"], "Unabsorbed"), (r["value_milli"], "Bolus")):
            compare(f"BolusWizard: {theirs}", ours % 25600 if milli(info[theirs]) == ours % 25600 else ours, milli(info[theirs]), where)
    elif kind == "BolusWizardSetup":
        ecc1_wizard(info["After"], f["setting_value"], where)
        ecc1_wizard(info["Before"], f["extra"].removeprefix("before="), where)
    elif kind in ("BasalProfileBefore", "BasalProfileAfter"):
        words = ", ".join(f"{i['Start']} {i['Rate']:g} U/h" for i in info)
        compare(f"{kind}: table", f["setting_value"], f"standard: {words or 'empty'}", where)
    elif kind == "BasalProfileStart":
        compare("BasalProfileStart: index", f["index"], info["ProfileIndex"], where)
        compare("BasalProfileStart: rate", r["value_milli"], milli(info["BasalRate"]["Rate"]), where)
        h, m = info["BasalRate"]["Start"].split(":")
        compare("BasalProfileStart: start", f["start_s"], int(h) * 3600 + int(m) * 60, where)
    elif kind == "TempBasalRate":
        percent = info["Type"] == "Percent"
        compare("TempBasalRate: type", f["type"], "temp_percent" if percent else "temp", where)
        ours = r["value_milli"]
        if not percent and isinstance(info["Value"], int):
            ours -= ours % 1000  # some of its files have whole units only
        compare("TempBasalRate: value", ours, milli(info["Value"]), where)
    elif kind in ("BGReceived", "BGReceived512", "BGCapture"):
        compare(f"{kind}: glucose", r["value_milli"], info["Glucose"] * (1000 if info["Units"] == "mg/dL" else 1), where)
        if "MeterID" in info:
            compare(f"{kind}: meter", f["linked_meter"], "#" + info["MeterID"], where)
    elif kind == "DailyTotal":
        compare("DailyTotal: total", r["value_milli"], milli(info), where)
    elif kind in ("Alarm", "SensorAlarm", "ClearAlarm"):
        compare(f"{kind}: code", f["code"], info, where)
    elif kind == "LowReservoir":
        compare("LowReservoir: amount", r["value_milli"], milli(info), where)
    elif kind == "Prime":
        compare("Prime: fixed", f["programmed"], milli(info["Fixed"]), where)
        compare("Prime: amount", r["value_milli"], milli(info["Manual"]), where)
    elif kind == "InsulinMarker":
        compare("InsulinMarker: amount", r["value_milli"], milli(info), where)
    elif kind == "MealMarker":
        compare("MealMarker: carbs", r["value_milli"], info["Carbs"] * (100 if info["Units"] == "Exchanges" else 1000), where)


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1 & 0xFFFF
    return crc


def compare_ecc1(program):
    folder = need(os.path.join(DATA, "pump-history/ecc1"))
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(glob.glob(f"{folder}/*.json")):
            name = os.path.basename(path)[:-5]
            expected = json.load(open(path))
            if not expected or "Data" not in expected[0]:
                continue  # treatments: what is derived from records
            model = next(m for m in ECC1_MODELS if m in name)
            page_path = f"{folder}/{name}.data"
            if os.path.exists(page_path):
                data = bytes.fromhex("".join(open(page_path).read().split()))[:1022]
                chunks = [(data, list(reversed(expected)))]
            else:
                # no page: the records make one, each list as many pages as it needs
                chunks, now, records = [], b"", []
                for e in reversed(expected):
                    raw = base64.b64decode(e["Data"])
                    if len(now) + len(raw) > 1022:
                        chunks.append((now, records))
                        now, records = b"", []
                    now += raw
                    records.append(e)
                chunks.append((now, records))
            for data, records in chunks:
                data = data.ljust(1022, b"\0")
                page = os.path.join(scratch, "page")
                open(page, "wb").write(data + crc16(data).to_bytes(2, "big"))
                objects = dump(program, model, "123456", "America/New_York", [f"h:{page}"])
                entries = [o for o in objects if o["event"] == "entry"]
                find = record_of(objects)
                compare("records of a page", len(entries), len(records), name)
                for ours, theirs in zip(entries, records):
                    where = f"{name} at {ours['at']}"
                    compare("bytes", ours["hex"], base64.b64decode(theirs["Data"]).hex(), where)
                    if ours["local_ms"] is None:
                        compare("time", None, theirs.get("Time"), where)
                    else:
                        compare("time", local(ours["local_ms"]).replace(" ", "T"), theirs["Time"][:19], where)
                    found = find(ours)
                    if found and theirs.get("Info") is not None:
                        ecc1_info(theirs["Type"], theirs["Info"], found, where)
    finish(5000)


# --- decocare ---

DECOCARE = {  # opcode: its field, ours
    0x01: (("programmed", "programmed"), ("amount", "delivered")),
    0x03: (("fixed", "programmed"), ("amount", "value_milli")),
    0x0a: (("amount", "value_milli"),),
    0x0b: (("alarm_type", "code"),),
    0x33: (("rate", "value_milli"),),
    0x34: (("amount", "value_milli"),),
    0x3f: (("amount", "value_milli"), ("link", "linked_meter")),
    0x5b: (("bg", "glucose_input"), ("carb_input", "carbs"), ("carb_ratio", "carb_ratio"), ("sensitivity", "sensitivity"),
           ("bg_target_low", "target_low"), ("bg_target_high", "target_high"), ("food_estimate", "food_estimate"),
           ("bolus_estimate", "value_milli"), ("unabsorbed_insulin_total", "unabsorbed")),
    0x7b: (("rate", "value_milli"),),
}


UNITS = {"programmed", "delivered", "value_milli", "food_estimate", "unabsorbed"}


def compare_decocare(program, model, folder):
    """Its records, found among ours by their first bytes. It leaves records out, and takes some as longer than they are."""
    folder = need(os.path.join(DATA, "pump-history", folder))
    n_long = n_left_out = 0
    for path in sorted(glob.glob(f"{folder}/ReadHistoryData-page-*.json")):
        page = path[:-5] if path.endswith(".data.json") else path[:-5] + ".data"
        objects = dump(program, model, "123456", "America/Los_Angeles", [f"h:{page}"])
        entries = [o for o in objects if o["event"] == "entry" and o["local_ms"] is not None]
        find = record_of(objects)
        name = os.path.basename(path)
        expected = [e for e in json.load(open(path)) if e.get("_type") != "UnabsorbedInsulinBolus"]
        n_left_out += max(0, len(entries) - len(expected))
        swallowed = ""
        for e in reversed(expected):
            theirs = e["_head"] + e["_date"] + e["_body"]
            if swallowed.startswith(theirs[:14]):
                continue  # the rest of one that it took as longer than it is
            found = [o for o in entries if theirs.startswith(o["hex"])]
            if not found:
                compare("found", False, True, f"{name} {theirs}")
                continue
            ours = found[0]
            if ours["hex"] != theirs:
                n_long += 1
                swallowed = theirs[len(ours["hex"]):]
                continue
            where = f"{name} at {ours['at']}"
            compare("bytes", ours["hex"], theirs, where)
            if e.get("timestamp") and ours["op"] not in (0x07, 0x6c, 0x6d, 0x6e):  # it adds a day to daily totals
                compare("time", local(ours["local_ms"]).replace(" ", "T"), e["timestamp"], where)
            record = find(ours)
            for their_field, our_field in DECOCARE.get(ours["op"], ()):
                if record is None or their_field not in e:
                    continue
                value = flat(record).get(our_field, 0)
                # where the maker's CSV shows it wrong: it has one byte of two of a pump with strokes of 1/40 U, takes a
                # ratio and the second target from the wrong place there, and a percentage as a rate
                if model not in ("522", "722"):
                    if their_field in ("carb_ratio", "bg_target_high"):
                        continue
                    if ours["op"] in (0x01, 0x5b) and record["unit"] == "U" and our_field in UNITS:
                        value = value % 6400 if value % 6400 == milli(e[their_field]) else value
                if record["unit"] == "%":
                    continue
                if our_field not in ("linked_meter", "code"):
                    compare(f"{ours['name']}: {their_field}", value, milli(e[their_field]), where)
                else:
                    compare(f"{ours['name']}: {their_field}", str(value).lstrip("#"), str(e[their_field]), where)
    print(f"records that it leaves out: {n_left_out}; that it takes as longer than they are: {n_long}")
    # of glucose pages, what has a time of its own: it counts readings forward from anything that has one, and the maker's CSV shows that wrong
    for path in sorted(glob.glob(f"{folder}/ReadGlucoseHistory-page-*.json")):
        theirs = [e for part in json.load(open(path)) for e in (part if isinstance(part, list) else [part])]
        objects = [o for o in dump(program, model, "123456", "UTC", [f"g:{path[:-5]}.data"]) if o["event"] == "record"]
        for name, want, have in (
                ("CalBGForGH", [(e["date"], milli(e["amount"])) for e in theirs if e["name"] == "CalBGForGH"],
                 [(o["local_ms"], o["value_milli"]) for o in objects if o["kind"] == "calibration"]),
                ("SensorCalFactor", [(e["date"], milli(e["factor"])) for e in theirs if e["name"] == "SensorCalFactor"],
                 [(o["local_ms"], milli(o["fields"]["text_device"].split("=")[1])) for o in objects if o["fields"].get("raw_type") == "SensorCalFactor"])):
            have = [(local(ms).replace(" ", "T"), value) for ms, value in have]
            compare(f"{name}: rows", len(have), len(want), os.path.basename(path))
            for a, b in zip(sorted(have), sorted(want)):
                compare(f"{name}: time and value", a, b, os.path.basename(path))
    finish(100)


# --- LoopKit ---

LOOPKIT = {  # page: model, how many records (what an estimate still counted is none of its own there), and what some of them are
    "TempBasalDecoding": ("551", 7, {0: (0x16, "2016-04-18T12:35:57", {}), 1: (0x33, "2016-04-18T12:42:10", {"value_milli": 400, "type": "temp", "duration_s": 1800}),
                                     3: (0x33, "2016-04-18T13:00:20", {"value_milli": 200, "type": "temp"})}),
    "HistoryDecoding": ("551", 51, {
        0: (0x5b, "2016-02-21T10:34:09", {"target_high": 150000, "target_low": 80000, "glucose_input": 228000, "value_milli": 4200, "carbs": 50000, "carb_ratio": 12000,
                                          "correction_estimate": 1000, "food_estimate": 4100, "sensitivity": 75000, "unabsorbed": 900,
                                          "extra": "unabsorbed 0=1.600 U, 79 min\tunabsorbed 1=1.400 U, 459 min\tunabsorbed 2=0.200 U, 469 min"}),
        1: (0x01, "2016-02-21T10:34:09", {"delivered": 3200, "programmed": 3200, "type": "normal", "unabsorbed": 900}),
        2: (0x7b, "2016-02-21T12:00:00", {"start_s": 43200, "value_milli": 250, "index": 5}), 3: (0x0a, "2016-02-21T12:35:25", {"value_milli": 222000}),
        7: (0x3f, "2016-02-21T13:19:34", {"value_milli": 268000, "linked_meter": "#C527AD"}), 20: (0x21, "2016-02-21T20:04:03", {}),
        21: (0x03, "2016-02-21T20:05:07", {"value_milli": 5400, "text_device": "manual", "programmed": 0}), 50: (0x6e, "2016-02-21T00:00:00", {})}),
    "HistoryDecoding523": ("523", None, {0: (0x01, None, {"delivered": 2050, "programmed": 2050, "type": "normal", "unabsorbed": 0})}),
    "HistoryDecodingBolusWizardSettings522": ("522", None, {0: (0x5a, None, {}), 1: (0x33, None, {})}),
    "HistoryQuestionable3b": ("723", 45, {}),
    "MealMarkerFor754": ("754", 93, {75: (0x40, "2016-07-11T05:09:29", {"value_milli": 12000, "unit": "g"})}),
    "InsulinMarker551": ("551", 72, {68: (0x42, "2016-07-16T17:45:38", {"value_milli": 99000}), 70: (0x42, "2016-07-16T18:28:28", {"value_milli": 100})}),
    "CalBGForPHWithHighBG": ("754", 67, {64: (0x0a, "2016-07-16T15:21:56", {"value_milli": 600000}), 66: (0x0a, "2016-07-16T16:10:23", {"value_milli": 88000})}),
    "AlarmSensorDate": ("754", 82, {1: (0x0b, "2016-07-15T20:02:20", {})}),
    "PumpAlarms": ("723", 126, {9: (0x06, "2007-01-01T00:00:00", {}), 13: (0x06, "2007-01-01T00:00:00", {})}),
    "PageWithDuplicates": ("754", None, {}),
    "SaveSettings": ("723", 125, {79: (0x5d, None, {})}),
    "BolusReminder": ("723", 32, {16: (0x69, "2007-01-01T11:00:00", {}), 17: (0x69, "2007-01-01T14:00:00", {}), 18: (0x69, "2007-01-01T20:00:00", {})}),
    "HighBitsOfTempBasalRate": ("522", 90, {88: (0x33, None, {"value_milli": 34000}), 84: (0x33, None, {"value_milli": 20000}), 80: (0x33, None, {"value_milli": 10000}),
                                            76: (0x33, None, {"value_milli": 5000})}),
    "ChangeSensorAlarmSilenceConfig": ("723", 118, {21: (0x53, None, {})}),
    "MeterBGx15": ("515", 106, {62: (0x39, "2018-08-11T07:52:49", {"value_milli": 92000, "linked_meter": "#843663"})}),
    "HistoryPageCRC": ("551", None, {}),
    "DroppedBolus": ("523", None, {}),
}


def compare_loopkit(program):
    folder = need(os.path.join(DATA, "pump-history/loopkit"))
    for name, (model, n, facts) in LOOPKIT.items():
        objects = dump(program, model, "123456", "UTC", [f"h:{folder}/history-test{name}.data"])
        entries = [o for o in objects if o["event"] == "entry" and o["op"] not in (0x5c, 0x30)]
        find = record_of(objects)
        compare("read to its end", [o["result"] for o in objects if o["event"] == "end"], [1], name)
        if n:
            compare("records of a page", len(entries), n, name)
        for at, (op, time, fields) in facts.items():
            where = f"{name}, record {at}"
            compare("opcode", entries[at]["op"], op, where)
            if time:
                compare("time", local(entries[at]["local_ms"]).replace(" ", "T"), time, where)
            record = find(entries[at]) if fields else None
            for field, value in fields.items():
                compare(f"{entries[at]['name']}: {field}", record and {**flat(record), "unit": record["unit"]}.get(field), value, where)
        if name == "PumpAlarms":
            compare("AlarmPump: code", [int(entries[at]["hex"][2:4], 16) for at in (9, 13)], [21, 5], name)
        if name == "PageWithDuplicates":
            compare("the same twice", [entries[116]["hex"], entries[117]["hex"]], [entries[118]["hex"], entries[119]["hex"]], name)
    for name, kind in (("history-testHistoryPageInvalidCRC", "h"), ("glucose-testGlucosePageInvalidCRC", "g")):
        reasons = [o["reason"] for o in dump(program, "551", "123456", "UTC", [f"{kind}:{folder}/{name}.data"]) if o["event"] == "rejected"]
        compare("wrong checksum", ["wrong checksum" in r for r in reasons], [True, True], name)
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "page")
        for name, needs in (("DoesNotNeedTimestamp", False), ("LastSensorTimestampTypeGapNeedsTimestamp", True)):
            data = open(f"{folder}/glucose-test{name}.data", "rb").read()[:-2].ljust(1022, b"\0")
            with open(path, "wb") as f:
                f.write(data + crc16(data).to_bytes(2, "big"))
            objects = dump(program, "522", "123456", "UTC", [f"g:{path}"])
            compare("glucose page that needs a timestamp", any("no time yet" in o["reason"] for o in objects if o["event"] == "rejected"), needs, name)
    finish(60)


# --- pages from files ---

def imported(dump_frames, path, model="", serial="", *no_checksums):
    done = subprocess.run([dump_frames, path, "America/New_York", "0", model, serial, *no_checksums], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def records_in(objects):
    return sorted((o["kind"], o["local_ms"], o["identity"], o["value_milli"], o["flags"], str(o["fields"])) for o in objects if o["event"] == "record")


def refusals_in(objects):
    return [o["text"] for o in objects if o["event"] == "refused"]


FILE_MODELS = {"554": "554", "345192": "723", "594040": "723", "578398": "522", "522": "522", "722": "722", "754": "754", "551": "551", "x15": "515", "HighBits": "522", "sarak": "522"}


def compare_files(program, dump_frames):
    history, traces = need(os.path.join(DATA, "pump-history")), need(os.path.join(DATA, "usb-traces"))
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "pages")

        def put(data):
            with open(path, "wb") as f:
                f.write(data)

        # all pages of a pump, one behind the other, in both orders and as text: the records that the decoders give for them
        for model, serial, folder in (("723", "345192", "decocare-345192-from-usb"), ("522", "578398", "decocare-578398"), ("523", "736868", "decocare-736868"),
                                      ("722", "584923", "decocare-722-cgm-2014"), ("723", "594040", "decocare-594040")):
            pages = pages_of(os.path.join(history, folder))
            want = records_in(dump(program, model, serial, "America/New_York", pages))
            blocks = [b"".join(open(part, "rb").read() for part in page[2:].split(":")) for page in pages]
            for name, data in (("newest first", b"".join(blocks)), ("oldest first", b"".join(reversed(blocks))), ("hex", b"".join(blocks).hex(" ").encode())):
                put(data)
                have = records_in(imported(dump_frames, path, model, serial))
                compare(f"{folder}, {name}: records", len(have), len(want), "")
                for a, b in zip(have, want):
                    compare(f"{folder}, {name}: record", a, b, "")

        # transcripts: a whole session, and two of the maker's own program in two forms each
        want = records_in(dump(program, "723", "345192", "America/New_York", pages_of(os.path.join(history, "decocare-345192-from-usb"))))
        have = records_in(imported(dump_frames, os.path.join(traces, "linux-723-345192-download.jsonl"), "723"))
        compare("36 pages by transcript: records", len(have), len(want), "")
        for a, b in zip(have, want):
            compare("36 pages by transcript: record", a, b, "")
        for a, b in (("win-515-basalhist.jsonl", "win-carelink-515-basalhist.clean-trace.csv"), ("win-515-first_run.jsonl", "win-carelink-515-first_run.hexlify.csv")):
            have, want = (records_in(imported(dump_frames, os.path.join(traces, name))) for name in (a, b))
            compare("transcript in two forms: records", len(have), len(want), a)
            compare("transcript in two forms: some", len(have) > 10, True, a)
            for x, y in zip(have, want):
                compare("transcript in two forms: record", x, y, a)

        # every page file alone is known for what it is, or refused by name
        for path_one in sorted(glob.glob(f"{history}/*/*.data")):
            data, name = open(path_one, "rb").read(), os.path.relpath(path_one, history)
            if name.startswith("ecc1/"):
                data = bytes.fromhex("".join(data.decode().split()))
                data = data[:1022].ljust(1022, b"\0")
                put(data.hex().encode())
                reason = refusals_in(imported(dump_frames, path, "523", "123456"))
                compare("without a checksum: refused", ["1022 bytes long and not whole" in r and "--no-checksum" in r for r in reason], [True], name)
                model = next(m for m in ECC1_MODELS if m in name)
                unverified = imported(dump_frames, path_one, model, "123456", "no-checksums")
                compare("without one, as it was said: taken", refusals_in(unverified), [], name)
                compare("without one, as it was said: noted", any("not verified" in o["text"] for o in unverified if o["event"] == "note"), True, name)
                put((data + crc16(data).to_bytes(2, "big")).hex().encode())
                verified = imported(dump_frames, path, model, "123456")
                compare("with one: taken", refusals_in(verified), [], name)
                compare("with one and without: records", records_in(unverified), records_in(verified), name)
                continue
            model = next((m for part, m in FILE_MODELS.items() if part in name), "523")
            objects = imported(dump_frames, path_one, model, "123456")
            reason, is_isig = refusals_in(objects), "ISIG" in name
            if len(data) == 1024 and crc16(data[:1022]) == int.from_bytes(data[1022:], "big"):
                compare("one page: taken", reason, [], name)
            elif "page_10-18" in name: # called failed, and whole
                compare("nine pages: taken", reason, [], name)
                compare("nine pages: readings", sum(o["event"] == "record" and o["kind"] == "cgm" for o in objects) > 5000, True, name)
            else:
                word = "without their glucose page" if is_isig else "wrong checksum" if len(data) >= 1024 else "no page" if data == b"\n" else "not whole"
                compare(f"damaged, cut or alone: refused", [word in r for r in reason], [True], name)
    finish(10000)


# --- what went wrong ---

def compare_failed(program):
    folder = need(os.path.join(DATA, "pump-history"))
    for path in sorted(glob.glob(f"{folder}/failed-downloads/*")):
        kind = "g" if "lucose" in path else "h"
        objects = dump(program, "722", "123456", "Europe/Berlin", [f"{kind}:{path}"])
        name = os.path.basename(path)
        compare("failed download: records", sum(o["event"] == "record" for o in objects), 0, name)
        reasons = [o["reason"] for o in objects if o["event"] == "rejected" and "its next bytes" not in o["reason"]]
        compare("failed download: reports", len(reasons), 1, name)
        compare("failed download: says why", "not whole" in reasons[0] or "wrong checksum" in reasons[0], True, name)
    for number in (8, 10):
        objects = dump(program, "554", "123456", "Europe/Berlin", [f"h:{folder}/decocare-model-554/ReadHistoryData-page-{number}.data"])
        compare("bad checksum: records", sum(o["event"] == "record" for o in objects), 0, f"554 page {number}")
        compare("bad checksum: says why", ["wrong checksum" in o["reason"] for o in objects if o["event"] == "rejected"], [True, True], f"554 page {number}")
    finish(150)


def main():
    program, mode, *rest = sys.argv[1:]
    {"ecc1": compare_ecc1, "decocare": compare_decocare, "loopkit": compare_loopkit, "files": compare_files, "failed": compare_failed}[mode](program, *rest)


if __name__ == "__main__":
    main()
