# SPDX-License-Identifier: Apache-2.0
"""Which rows of a CareLink file belong together, which records a wallet must hold of them, and when they were.

The whole file is in memory, so that what belongs together is looked for everywhere, not in a window.

        expected = Expected(path, zone)
        expected.records    # [Record]: key: its content as carewallet export has it, but for UTC
        expected.merged     # {kind: rows that are part of another row's record}
        expected.extra      # {kind: records beside another one of the same row}
        expected.rejected   # {line: words of the reason}
        expected.errors     # what contradicts itself in the file, or has no rule here
"""

import collections
import datetime
import functools

from carelink import Event, Legacy, Modern, moment, read, shown_otherwise

HOUR = datetime.timedelta(hours=1)
QUARTER = datetime.timedelta(minutes=15)
DAY = datetime.timedelta(days=1)


class Record:
        """What a wallet must hold once. @kind: None when it turned out to be part of another one, or rejected."""

        def __init__(self, row, event):
                self.row, self.event, self.device, self.local, self.kind = row, event, row.device, row.local, event.kind

        def add(self, part, **fields):
                """The fields of a part that is no record of its own; one that differs is kept as text."""
                for name, text in {**part.event.fields, **fields}.items():
                        if name == 'type':
                                continue
                        held = self.event.fields.setdefault(name, text) if name not in ('raw_type', 'raw_key', 'raw_values') else None
                        if held != text:
                                self.event.extra.add(f'{name}={text}')
                self.event.extra |= part.event.extra


def pairs(parts, anchors, key, from_s, to_s, is_single=False):
        """[(part, anchor)]: those of one key, the nearest in time first; from_s, to_s: how far a part may be behind its anchor."""
        by_key, found, taken, full = collections.defaultdict(list), [], set(), set()
        for anchor in anchors:
                by_key[key(anchor)].append(anchor)
        for part in parts:
                for anchor in by_key.get(key(part), ()):
                        delta_s = (part.local - anchor.local).total_seconds()
                        if from_s <= delta_s <= to_s:
                                found.append((abs(delta_s), part.row.line, anchor.row.line, part, anchor))
        for _, _, _, part, anchor in sorted(found, key=lambda pair: pair[:3]):
                if id(part) not in taken and not (is_single and id(anchor) in full):
                        taken.add(id(part))
                        full.add(id(anchor))
                        yield part, anchor


class Expected:
        def __init__(self, path, zone):
                self.rows = read(path)
                self.errors, self.rejected, self.merged, self.sections = [], {}, collections.Counter(), {}
                self.is_legacy = any('Raw-Type' in row.cells for row in self.rows)
                self.clock = Clock(self.rows, zone)
                self.records = self.join([record for row in self.rows for record in self.of_row(row)])
                self.once()

        def of_row(self, row):
                events = (Legacy if self.is_legacy else Modern)(row)
                for event in events.run() if not (self.is_legacy and events.type == 'UnabsorbedInsulin') else [Event('unabsorbed', **events.raw)]:
                        yield Record(row, event)
                if self.is_legacy:
                        errors = events.errors + (list(shown_otherwise(row, events.events[0])) if events.events else [])
                        self.errors += [f'line {row.line}: {error}' for error in errors]
                elif events.left:
                        self.errors.append(f'line {row.line}: no rule takes {events.left}')

        def merge(self, part, anchor, **fields):
                anchor.add(part, **fields)
                self.merged[anchor.kind] += 1
                part.kind = None

        def reject(self, part, reason):
                self.rejected[part.row.line] = reason
                part.kind = None

        def join(self, records):
                if self.is_legacy:
                        self.join_legacy(records)
                else:
                        self.join_boluses([r for r in records if r.kind == 'bolus' and r.event.is_own])
                        self.join_readings([r for r in records if r.kind == 'fingerstick'])
                        self.join_estimates([r for r in records if r.kind == 'wizard'])
                return [record for record in records if record.kind]

        def edges(self, record):
                """First and last wall clock of the part of the file that a row stands in; a clock that was not set says neither."""
                section = record.row.section
                if section not in self.sections:
                        local = [row.local for row in self.rows if row.section is section]
                        self.sections[section] = min((t for t in local if not self.clock.is_unset(t)), default=local[0]), max(local)
                return self.sections[section]

        def join_boluses(self, boluses):
                """Selected, then delivered. 8 h is the longest extended bolus; two more for one that was interrupted."""
                def key(bolus):
                        cells = bolus.row.cells
                        return id(bolus.row.section), cells.get('Bolus Type'), cells.get('Bolus Number') or cells.get('Bolus Volume Selected')
                delivered = [b for b in boluses if 'delivered' in b.event.fields]
                selected = [b for b in boluses if 'delivered' not in b.event.fields and 'programmed' in b.event.fields]
                ended = [b for b in boluses if 'delivered' not in b.event.fields and 'programmed' not in b.event.fields]
                for part, anchor in pairs(selected, delivered, key, -10 * 3600, 0, is_single=True):
                        self.merge(part, anchor, start_delay_s=str(int((anchor.local - part.local).total_seconds())))
                for part, anchor in pairs(ended, delivered, key, -2, 2):
                        self.merge(part, anchor)
                for bolus in selected:
                        duration = datetime.timedelta(seconds=int(bolus.event.fields.get('duration_s', 0)))
                        if bolus.kind and bolus.local + HOUR + duration > self.edges(bolus)[1]:  # it may have been going on when the export was made
                                self.reject(bolus, 'just selected')
                for bolus in ended:
                        if bolus.kind and min(bolus.local - self.edges(bolus)[0], self.edges(bolus)[1] - bolus.local) <= datetime.timedelta(seconds=2):
                                self.reject(bolus, 'why a bolus was ended')

        def join_readings(self, readings):
                """Received or entered, then accepted or sent for calibration: one reading."""
                def key(reading):
                        return id(reading.row.section), reading.event.value, reading.event.fields.get('linked_meter')

                def is_echo(reading):
                        return not reading.event.fields['glucose_source'].startswith(('BG_READIN_RECEIVED', 'ENTERED_IN'))
                readings = [reading for reading in readings if 'glucose_source' in reading.event.fields]
                echoes = [reading for reading in readings if is_echo(reading)]
                for part, anchor in pairs(echoes, [reading for reading in readings if not is_echo(reading)], key, 0, 15 * 60):
                        word = part.event.fields.pop('glucose_source')
                        anchor.event.fields['glucose_source'] += ',' + word
                        anchor.event.extra.add(f'{word}=+{int((part.local - anchor.local).total_seconds())}s')
                        self.merge(part, anchor)
                for echo in echoes:
                        if echo.kind and echo.local - self.edges(echo)[0] <= QUARTER:
                                self.reject(echo, 'accepts a meter reading from before')
                        elif echo.kind and echo.event.fields['glucose_source'] == 'BG_SENT_FOR_CALIB':
                                echo.kind = echo.event.kind = 'calibration'

        def join_estimates(self, estimates):
                """What was unabsorbed and the final estimate stand in a row of their own."""
                whole = [estimate for estimate in estimates if 'BWZ Estimate' in estimate.row.cells]
                rest = [estimate for estimate in estimates if 'BWZ Estimate' not in estimate.row.cells]
                for part, anchor in pairs(rest, whole, lambda e: (id(e.row.section), e.local), 0, 0):
                        self.merge(part, anchor)

        def join_legacy(self, records):
                by_type = collections.defaultdict(list)
                for record in records:
                        if record.event.is_own:
                                by_type[record.row.cells['Raw-Type']].append(record)
                for part, anchor in pairs(by_type['CalBGForPH'], by_type['BGReceived'], lambda r: (r.local, r.event.value), 0, 0, is_single=True):
                        anchor.event.fields['glucose_source'] += ',CalBGForPH'
                        part.kind, self.merged['fingerstick'] = None, self.merged['fingerstick'] + 1
                for part, anchor in pairs(by_type['ChangeTempBasalNoRate'], by_type['ChangeTempBasal'] + by_type['ChangeTempBasalPercent'],
                                          lambda r: (r.local, r.event.fields['duration_s']), 0, 0, is_single=True):
                        self.merge(part, anchor)
                estimates = {estimate.row.cells['Raw-ID']: estimate for estimate in by_type['BolusWizardBolusEstimate']}
                for part in by_type['UnabsorbedInsulin']:
                        raw = part.event.fields
                        estimate = estimates.get(raw['BOLUS_ESTIMATE_DATUM'])
                        if not estimate or estimate.local != part.local:
                                self.reject(part, 'part of a bolus estimate')
                                continue
                        estimate.event.extra.add('unabsorbed %(INDEX)s=%(AMOUNT)s U, %(RECORD_AGE)s of %(INSULIN_ACTION_CURVE)s min' % raw)
                        part.kind, self.merged['wizard'] = None, self.merged['wizard'] + 1

        def once(self):
                """Rows equal in everything but their number are one event listed twice, unless the clock was put back between them."""
                by_content = {}
                for record in self.records:
                        section = record.row.section if record.kind in ('alarm', 'device_event', 'note') and not self.is_legacy else None
                        content = {**record.event.content(), 'local_time': record.local.isoformat(), 'device': record.device[0], 'serial': record.device[1]}
                        record.key = frozenset(content.items())
                        by_content.setdefault((record.key, section and (section.model, section.type, section.serial), self.clock.showing(record)), []).append(record)
                self.records, self.extra = [], collections.Counter()
                for same in by_content.values():
                        n_own = sum(record.event.is_own for record in same)
                        same.sort(key=lambda record: not record.event.is_own)
                        self.records.append(same[0])
                        self.merged[same[0].kind] += max(0, n_own - 1)
                        self.extra[same[0].kind] += n_own == 0


# --- clocks ---

class Clock:
        """What a device's clock meant, as far as the file and the zone say it.

        A clock shows what it was told until it is told otherwise. So, where a row says that the clock was put forward or back by about an hour and the
        zone had changed by that within two weeks, the clock had shown the time of before until then.
        """

        def __init__(self, rows, zone):
                self.zone = zone
                dates = {row.local.date() for row in rows}
                self.has_january_2016 = any(abs((day - datetime.date(2016, 1, 1)).days) in range(1, 8) for day in
                                            {row.local.date() for row in rows if not (row.section and row.section.is_aggregated)})
                self.changes = list(self.find_changes(min(dates), max(dates)))
                self.late, self.back = [], []
                readings = [row for row in rows if row.section and 'Sensor Glucose' in row.cells and 'Raw-Type' not in row.cells]
                for row in rows:
                        new = row.get('New Device Time')
                        if not new:
                                continue
                        new = moment(*new.split(' ', 1))
                        step = new - row.local
                        if step < -QUARTER:
                                self.back.append((row.device, new, row.local, row.line))
                        for at, before, after in self.changes:
                                behind = row.local - before - at
                                if abs(step - (after - before)) <= QUARTER and datetime.timedelta(0) <= behind <= 14 * DAY:
                                        self.late.append((row.device, at + min(before, after), row.local, before))
                for older, newer in zip(readings[1:], readings):  # newest first: no row says so, but their order does
                        if older.section is newer.section and older.local - newer.local > QUARTER:
                                self.back.append((older.device, newer.local, older.local, older.line))

        def find_changes(self, first, last):
                """(UTC, offset before, offset after) of each change of the zone between two days."""
                for year in range(first.year, last.year + 1):
                        at = datetime.datetime(year, 1, 1)
                        for _ in range(366):
                                before, after = self.offset_at(at), self.offset_at(at + DAY)
                                if before != after:
                                        low, high = at, at + DAY
                                        while high - low > datetime.timedelta(seconds=1):
                                                middle = (low + (high - low) / 2).replace(microsecond=0)
                                                low, high = (middle, high) if self.offset_at(middle) == before else (low, middle)
                                        yield high, before, after
                                at += DAY

        def offset_at(self, utc):
                return utc.replace(tzinfo=datetime.timezone.utc).astimezone(self.zone).utcoffset()

        def is_unset(self, local):
                """A pump's clock after a reset: 2000, or New Year's Day of 2016 where the file has no other day about it."""
                return local.year == 2000 or (local.date() == datetime.date(2016, 1, 1) and not self.has_january_2016)

        def showing(self, record):
                """Tells rows apart at a time that a device's clock showed twice, by where they stand: newest first."""
                local, device = record.local, record.device
                for back_device, new, old, line in self.back:
                        if device == back_device and new <= local <= old:
                                return record.row.line < line
                return None

        def utc(self, record):
                """[(UTC times that a record may have, words for its clock that are true then)]"""
                local, is_after = record.local, self.showing(record)
                in_zone, words = self.in_zone(local)
                if self.is_unset(local):
                        return [(in_zone, {'unset'})]
                for device, since, until, before in self.late:
                        if device == record.device and since <= local <= until and not is_after:
                                return [({local - before}, {None, 'repeated', 'ambiguous', 'skipped'})]
                if is_after is None:
                        return [(in_zone, words)]
                # shown twice: told apart, or said not to be
                return [({max(in_zone) if is_after else min(in_zone)}, {None, 'repeated'}), (in_zone, {'ambiguous'})]

        @functools.lru_cache(200000)
        def in_zone(self, local):
                offsets = {local.replace(tzinfo=self.zone, fold=fold).utcoffset() for fold in (0, 1)}
                if len(offsets) == 1:
                        return {local - offsets.pop()}, {None}
                is_skipped = all(self.offset_at(local - offset) != offset for offset in offsets)
                if is_skipped:  # the clock had not been put forward yet
                        return {local - min(offsets)}, {'skipped'}
                return {local - offset for offset in offsets}, {'repeated', 'ambiguous'}
