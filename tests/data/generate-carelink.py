#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A synthetic CareLink export of a MiniMed 780G with a Guardian 4 sensor: seeded, physiologically plausible, nobody's.

The layout is that of exports since 2018: a preamble, then the sections Pump, Aggregated Auto Insulin Data and Sensor,
newest row first, the index running through the whole file. The same seed, days and end give the same file anywhere.
--from and --to cut an export out of the same life, so that two exports can overlap. The pump's clock is never changed.

--truth writes what is true of the file as JSON: rows per section and sort, readings with sum and bands, insulin, carbs.
"""

import argparse
import datetime
import json
import math
import random
import sys
import tempfile

COLUMNS = ('Index;Date;Time;New Device Time;BG Source;BG Reading (mg/dL);Linked BG Meter ID;Basal Rate (U/h);'
           'Temp Basal Amount;Temp Basal Type;Temp Basal Duration (h:mm:ss);Bolus Type;Bolus Volume Selected (U);'
           'Bolus Volume Delivered (U);Bolus Duration (h:mm:ss);Prime Type;Prime Volume Delivered (U);'
           'Estimated Reservoir Volume after Fill (U);Alert;User Cleared Alerts;Suspend;Rewind;BWZ Estimate (U);'
           'BWZ Target High BG (mg/dL);BWZ Target Low BG (mg/dL);BWZ Carb Ratio (g/U);BWZ Insulin Sensitivity (mg/dL/U);'
           'BWZ Carb Input (grams);BWZ BG/SG Input (mg/dL);BWZ Correction Estimate (U);BWZ Food Estimate (U);'
           'BWZ Active Insulin (U);BWZ Status;Sensor Calibration BG (mg/dL);Sensor Glucose (mg/dL);ISIG Value;Event Marker;'
           'Bolus Number;Bolus Cancellation Reason;BWZ Unabsorbed Insulin Total (U);Final Bolus Estimate;Scroll Step Size;'
           'Insulin Action Curve Time;Sensor Calibration Rejected Reason;Preset Bolus;Bolus Source;BLE Network Device;'
           'Device Update Event;Network Device Associated Reason;Network Device Disassociated Reason;'
           'Network Device Disconnected Reason;Sensor Exception;Preset Temp Basal Name;Sensor State').split(';')
# short names for the columns that are filled
AT = {short: COLUMNS.index(column) for short, column in {
        'bg_source': 'BG Source', 'bg': 'BG Reading (mg/dL)', 'meter': 'Linked BG Meter ID', 'rate': 'Basal Rate (U/h)',
        'bolus': 'Bolus Type', 'selected': 'Bolus Volume Selected (U)', 'delivered': 'Bolus Volume Delivered (U)',
        'prime': 'Prime Type', 'prime_volume': 'Prime Volume Delivered (U)',
        'reservoir': 'Estimated Reservoir Volume after Fill (U)', 'alert': 'Alert', 'cleared': 'User Cleared Alerts',
        'suspend': 'Suspend', 'rewind': 'Rewind', 'estimate': 'BWZ Estimate (U)', 'ratio': 'BWZ Carb Ratio (g/U)',
        'carbs': 'BWZ Carb Input (grams)', 'wizard_bg': 'BWZ BG/SG Input (mg/dL)',
        'correction': 'BWZ Correction Estimate (U)', 'food': 'BWZ Food Estimate (U)', 'status': 'BWZ Status',
        'calibration': 'Sensor Calibration BG (mg/dL)', 'sg': 'Sensor Glucose (mg/dL)', 'isig': 'ISIG Value',
        'marker': 'Event Marker', 'number': 'Bolus Number', 'source': 'Bolus Source', 'exception': 'Sensor Exception',
}.items()}

MODEL, SERIAL, METER, SENSOR = 'MiniMed 780G MMT-1886', 'NG0000042H', '00000000007', 'Guardian™ 4 Sensor'
MGDL_PER_MMOL = 18.016
DAY = 86400
BASAL = {0: 0.55, 2: 0.55, 4: 0.6, 6: 0.7, 8: 0.8, 10: 0.75, 12: 0.7, 14: 0.7, 16: 0.75, 18: 0.8, 20: 0.75, 22: 0.65}  # U/h
ISF, RATIO, TARGET = 45.0, 9.5, 115.0  # mg/dL per U, grams per U, mg/dL


class Section:
        """Rows of one section: written day by day in the order of time, read back newest first."""

        def __init__(self):
                self.file = tempfile.TemporaryFile()
                self.days = []
                self.n_rows = 0

        def add_day(self, rows):
                if rows:
                        block = '\n'.join(rows).encode()
                        self.file.write(block)
                        self.days.append(len(block))
                        self.n_rows += len(rows)

        def newest_first(self):
                end = self.file.tell()
                for n in reversed(self.days):
                        end -= n
                        self.file.seek(end)
                        yield reversed(self.file.read(n).decode().split('\n'))


class Life:
        """One person with type 1 diabetes, a pump and a sensor, in steps of five minutes."""

        def __init__(self, options):
                self.o = options
                self.random = random.Random(options.seed)
                self.pump, self.auto, self.sensor = Section(), Section(), Section()
                self.decimal = '.' if options.delimiter == ',' else ','
                self.glucose = 130.0  # mg/dL
                self.gut = [0.0, 0.0]  # g of carbohydrate on its way
                self.depot = [0.0, 0.0]  # U of insulin on its way
                self.drift = 0.0  # sensor's error, mg/dL
                self.phase = self.random.randrange(300)
                self.number = self.random.randrange(1, 200)
                self.sensor_starts = -self.random.randrange(5 * DAY) - 3 * 3600  # seconds; before the first day
                self.change_sensor(self.sensor_starts)
                self.gap_until = -1
                self.last_alert = {}
                self.last_treated = -DAY
                self.pump_rows, self.sensor_rows = [], []  # (second, order, text) of this day and what reaches past midnight
                self.order = 0
                self.truth = {'seed': options.seed, 'unit': options.unit, 'model': MODEL, 'serial': SERIAL,
                              'cgm': 0, 'cgm_sum': 0.0, 'cgm_bands': [0] * 5, 'cgm_first': None, 'cgm_last': None,
                              'fingerstick': 0, 'calibration': 0, 'bolus': 0, 'bolus_units': 0.0, 'wizard': 0, 'carbs_rows': 0,
                              'carbs_grams': 0.0, 'basal_rate_rows': 0, 'auto_total_rows': 0, 'auto_units': 0.0, 'alert_rows': 0,
                              'cleared_rows': 0, 'suspend_rows': 0, 'prime_rows': 0, 'rewind_rows': 0, 'exception_rows': 0,
                              'marker_rows': 0}

        # numbers as the export prints them

        def number_text(self, value, decimals):
                text = f'{value:.{decimals}f}'
                return text.replace('.', ',') if self.decimal == ',' else text

        def short_text(self, value):
                """Up to three decimals, no trailing zeros: 2,85 and 4,0"""
                text = f'{value:.3f}'.rstrip('0')
                if text.endswith('.'):
                        text += '0'
                return text.replace('.', ',') if self.decimal == ',' else text

        def glucose_value(self, mgdl):
                """The number that is printed, in the unit that is printed."""
                return round(mgdl / MGDL_PER_MMOL, 1) if self.o.unit == 'mmol' else round(mgdl)

        def glucose_text(self, mgdl):
                value = self.glucose_value(mgdl)
                return self.number_text(value, 1) if self.o.unit == 'mmol' else str(value)

        # rows

        def when(self, second):
                day, second = divmod(second, DAY)
                date = self.first_day + datetime.timedelta(days=day)
                return (f'{date.year}/{date.month:02}/{date.day:02}{self.o.delimiter}'
                        f'{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}')

        def row(self, second, **fields):
                cells = [''] * (len(COLUMNS) - 3)
                for name, value in fields.items():
                        cells[AT[name] - 3] = value
                self.order += 1
                return (second, self.order, f'{self.when(second)}{self.o.delimiter}{self.o.delimiter.join(cells)}')

        def is_exported(self, second):
                return self.export_from <= second < self.export_until

        def add(self, second, count=(), **fields):
                """A pump row; @count names the truth's counters that it moves."""
                second = int(second)
                self.pump_rows.append(self.row(second, **fields))
                if self.is_exported(second):
                        for name in count:
                                self.truth[name] += 1

        def alert(self, second, text, quiet_s, clear_after_s):
                if second < self.last_alert.get(text, -DAY) + quiet_s:
                        return
                self.last_alert[text] = second
                how = self.random.choices(('tone and vibration', 'alert silence', 'siren'), (90, 7, 3))[0]
                self.add(second, ['alert_rows'], alert=f'{text}: {how}')
                self.add(second + self.random.uniform(6, clear_after_s), ['cleared_rows'], cleared=text)

        # what people do

        def insulin(self, units):
                self.depot[0] += units

        def bolus(self, second, carbs, seen):
                """Carbs are entered in the calculator; a correction for what the sensor shows is added. Returns the units."""
                food = round(carbs / RATIO / 0.025) * 0.025
                active = sum(self.depot)
                correction = max(-food, (seen - 120) / ISF - active) if seen and (seen > 150 or seen < 100) else 0.0
                correction = round(correction / 0.025) * 0.025
                units = round((food + correction) / 0.025) * 0.025
                if units < 0.1:
                        return 0.0
                self.number = self.number % 255 + 1
                number = str(self.number)
                source = 'CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS' if carbs else 'CLOSED_LOOP_BG_CORRECTION'
                text = self.short_text(units)
                second = int(second)
                delivered_at = second + int(units * 40)  # 1.5 U a minute
                self.add(second, ['wizard'], estimate=text, ratio=self.number_text(RATIO, 2), carbs=self.number_text(carbs, 2),
                         wizard_bg=self.glucose_text(seen) if seen else '0', correction=self.short_text(correction),
                         food=self.short_text(food), status='Delivered')
                self.add(second, bolus='Normal', selected=text, number=number, source=source)
                self.add(delivered_at, bolus='Normal', selected=text, delivered=text, number=number, source=source)
                if self.is_exported(second):
                        self.truth['bolus'] += 1
                        self.truth['bolus_units'] += units
                        if carbs:
                                self.truth['carbs_rows'] += 1
                                self.truth['carbs_grams'] += carbs
                return units

        def fingerstick(self, second, calibrate):
                value = self.glucose_text(min(max(self.glucose * self.random.gauss(1, 0.05), 30), 500))
                if not calibrate:
                        self.add(second, ['fingerstick'], bg_source='ENTERED_IN_BG_ENTRY', bg=value)
                        return
                self.add(second, ['fingerstick'], bg_source='BG_READIN_RECEIVED', bg=value, meter=METER)
                self.add(second + 60, ['calibration'], calibration=value)

        def change_sensor(self, second):
                self.sensor_starts = second
                self.sensor_ends = second + 7 * DAY - self.random.randrange(8 * 3600)
                self.next_sensor = self.sensor_ends + self.random.randrange(600, 5 * 3600)
                if self.next_sensor % DAY < 6 * 3600:  # asleep: in the morning
                        self.next_sensor = self.next_sensor // DAY * DAY + 7 * 3600 + self.random.randrange(3600)

        def change_set(self, second):
                self.add(second, ['suspend_rows', 'basal_rate_rows'], rate='0', suspend='NOTSEATED_SUSPEND')
                self.add(second + 19, ['rewind_rows', 'basal_rate_rows'], rate='0', rewind='Rewind')
                volume = self.random.uniform(180, 290)
                self.add(second + 108, ['prime_rows'], prime='Tubing Fill', prime_volume=self.number_text(self.random.uniform(8, 14), 4),
                         reservoir=self.number_text(volume, 3))
                self.add(second + 124, ['prime_rows'], prime='Cannula Fill', prime_volume=self.short_text(0.3),
                         reservoir=self.number_text(volume - 0.3, 3))
                self.add(second + 124, ['suspend_rows'], suspend='NORMAL_PUMPING')
                self.add(second + 125, ['basal_rate_rows'], rate=self.short_text(BASAL[second % DAY // 7200 * 2]))

        def meals_of(self, day, weekend):
                """(minute of the day, grams eaten, grams told to the pump, minutes from meal to bolus)"""
                r = self.random
                late = 60 if weekend else 0
                plan = [(7 * 60 + 10 + late, 45, 0.95), (12 * 60 + 30, 60, 0.97), (18 * 60 + 45, 70, 0.97)]
                plan += [(int(r.uniform(9 * 60 + 30, 11 * 60)), 15, 0.35), (int(r.uniform(14 * 60 + 30, 17 * 60)), 22, 0.6)]
                if r.random() < 0.25:
                        plan.append((int(r.uniform(20 * 60 + 30, 22 * 60 + 30)), 25, 1))
                meals = []
                for minute, grams, likely in plan:
                        if r.random() > likely:
                                continue
                        eaten = max(5, grams * r.lognormvariate(0, 0.3))
                        told = max(1, round(eaten * r.lognormvariate(-0.04, 0.18)))
                        if r.random() < (0.06 if grams > 30 else 0.3):
                                told = 0  # forgotten
                        meals.append((int(minute + r.gauss(0, 25)), eaten, told, int(r.choices((-12, -4, 3, 25), (30, 40, 22, 8))[0] + r.gauss(0, 3))))
                return meals

        # a day

        def live(self, day):
                r = self.random
                begin = day * DAY
                weekend = (self.first_day + datetime.timedelta(days=day)).weekday() >= 5
                eat, tell = {}, {}
                for minute, eaten, told, wait in self.meals_of(day, weekend):
                        step = min(max(minute // 5, 0), 287)
                        eat[step] = eat.get(step, 0) + eaten
                        if told:
                                tell[min(max((minute + wait) // 5, 0), 287)] = told
                exercise = range(0)
                if r.random() < 0.3:
                        start = int(r.uniform(15, 19) * 12)
                        exercise = range(start, start + int(r.uniform(6, 15)))
                        tell = {step: round(told * 0.7) if step in exercise else told for step, told in tell.items()}
                sensitivity = r.lognormvariate(0, 0.14)
                dawn = max(0, r.gauss(0.28, 0.12))
                # 780G users change the infusion set every three days, and now and then take the pump off for a swim
                if day % 3 == 1:
                        self.change_set(begin + int(r.uniform(7.6, 9.5) * 3600))
                suspended = range(0)
                if r.random() < 0.06:
                        start = int(r.uniform(16, 18) * 12)
                        suspended = range(start, start + int(r.uniform(5, 12)))
                        self.add(begin + suspended[0] * 300 + 7, ['suspend_rows', 'basal_rate_rows'], rate='0', suspend='USER_SUSPEND')
                        self.add(begin + suspended[-1] * 300 + 99, ['suspend_rows'], suspend='NORMAL_PUMPING')
                        self.add(begin + suspended[-1] * 300 + 100, ['basal_rate_rows'],
                                 rate=self.short_text(BASAL[suspended[-1] // 24 * 2]))
                for hour, rate in BASAL.items():
                        self.add(begin + hour * 3600, ['basal_rate_rows'], rate=self.short_text(rate))
                if r.random() < 0.45:
                        self.fingerstick(begin + int(r.uniform(7, 22) * 3600), calibrate=r.random() < 0.5)

                auto_units = 0.0
                jitter = r.choices((0, 0, 0, 0, 0, 0, 1, -1, 37), k=1)[0]  # the transmitter's pace slips now and then
                self.phase = (self.phase + jitter) % 300
                gauss, rnd = r.gauss, r.random
                gut, depot = self.gut, self.depot
                glucose, drift = self.glucose, self.drift
                delimiter = self.o.delimiter
                date = self.first_day + datetime.timedelta(days=day)
                head = f'{date.year}/{date.month:02}/{date.day:02}{delimiter}'
                middle = delimiter * (AT['sg'] - 2)
                tail = delimiter * (len(COLUMNS) - 1 - AT['isig'])
                rows, truth, bands = self.sensor_rows, self.truth, self.truth['cgm_bands']
                is_mmol = self.o.unit == 'mmol'
                limits = (3.0, 3.9, 10.05, 13.95) if is_mmol else (54, 70, 180.5, 250.5)

                for step in range(288):
                        second = begin + step * 300 + self.phase
                        if step in eat:
                                gut[0] += eat[step]
                        shown = glucose + drift

                        # gut: peak after about 45 min; insulin: after about 70
                        to_gut = gut[0] * 0.10
                        absorbed = gut[1] * 0.10
                        gut[0] -= to_gut
                        gut[1] += to_gut - absorbed
                        to_blood = depot[0] * 0.075
                        acting = depot[1] * 0.075
                        depot[0] -= to_blood
                        depot[1] += to_blood - acting

                        # the loop: basal insulin, more when high, none when low
                        if step not in suspended:
                                active = depot[0] + depot[1]
                                units = 0.0
                                if shown > 75:
                                        units = min(max(0.0625 + (shown - TARGET) / 90 * 0.0625 - (active - 1.7) * 0.008, 0), 0.25)
                                depot[0] += units
                                auto_units += units

                        hour = step / 12
                        liver = 2.8 * (1 + dawn * math.exp(-((hour - 6) / 2.2) ** 2) + 0.08 * math.sin(day * 1.7 + hour / 4))
                        burn = 1.7 if step in exercise else 1.0
                        glucose += absorbed * 4.4 + liver - acting * ISF * sensitivity * burn - (glucose - 120) * 0.006 + gauss(0, 1.3)
                        if glucose < 70:
                                glucose += (70 - glucose) * 0.05  # counter-regulation
                        if glucose > 300:
                                glucose -= (glucose - 300) * 0.03  # renal loss
                        glucose = min(max(glucose, 38.0), 480.0)
                        drift = drift * 0.9 + gauss(0, 1.9)

                        awake = 78 <= step <= 276
                        if shown < 66 and second > self.last_treated + 1500 and rnd() < (0.35 if awake else 0.15):
                                gut[0] += 12 + 6 * rnd()  # grape sugar, not told to the pump
                                self.last_treated = second
                        if step in tell:
                                units = self.bolus(second - 120, tell[step], shown if second > self.gap_until else None)
                                depot[0] += units
                        elif awake and shown > 260 and depot[0] + depot[1] < 2.2 and rnd() < 0.06:
                                depot[0] += self.bolus(second - 60, 0, shown)

                        # the sensor
                        if second >= self.next_sensor:
                                self.change_sensor(second)
                                self.fingerstick(second + 2 * 3600 + 900, calibrate=True)
                                self.alert(second + 2 * 3600, 'SENSOR CONNECTED', 0, 200)
                        if second < self.gap_until:
                                continue
                        if rnd() < 0.0012:
                                self.gap_until = second + int(r.lognormvariate(8.1, 0.8))  # median 55 min
                                if self.gap_until > second + 1800:
                                        self.alert(second + 1800, 'LOST SENSOR SIGNAL', 3600, 500)
                                continue
                        if second > self.sensor_ends or second < self.sensor_starts + 2 * 3600:
                                why = 'SENSOR_END_OF_LIFE' if second > self.sensor_ends else 'SENSOR_INIT_CODE'
                                if second > self.sensor_ends:
                                        self.alert(second, 'CHANGE SENSOR', 6 * 3600, 900)
                                self.sensor_rows.append(self.row(second, exception=why))
                                if self.is_exported(second):
                                        truth['exception_rows'] += 1
                                continue
                        reading = min(max(glucose + drift, 40.0), 400.0)
                        if is_mmol:
                                value = round(reading / MGDL_PER_MMOL, 1)
                                text = f'{value:.1f}'
                        else:
                                value = round(reading)
                                text = str(value)
                        isig = f'{reading / 5.1 + gauss(0, 0.15):.2f}'
                        if self.decimal == ',':
                                text, isig = text.replace('.', ','), isig.replace('.', ',')
                        in_day = second - begin
                        if in_day < DAY:
                                clock = f'{head}{in_day // 3600:02}:{in_day // 60 % 60:02}:{in_day % 60:02}'
                        else:
                                clock = self.when(second)
                        rows.append((second, 0, f'{clock}{middle}{text}{delimiter}{isig}{tail}'))
                        if self.export_from <= second < self.export_until:
                                truth['cgm'] += 1
                                truth['cgm_sum'] += value
                                if truth['cgm_first'] is None:
                                        truth['cgm_first'] = second
                                truth['cgm_last'] = second
                                bands[(value >= limits[0]) + (value >= limits[1]) + (value >= limits[2]) + (value >= limits[3])] += 1
                        if reading > 250:
                                self.alert(second + 7, 'ALERT ON HIGH', 3600, 900)
                        elif reading < 54:
                                self.alert(second + 5, 'URGENT LOW SENSOR GLUCOSE', 1500, 400)
                        elif reading < 70:
                                self.alert(second + 5, 'ALERT ON LOW', 2400, 400)

                self.glucose, self.drift = glucose, drift
                for marker, at in (('Start of the day', begin), ('End of the day', begin + DAY)):
                        self.sensor_rows.append(self.row(at, marker=marker))
                        if self.is_exported(at):
                                truth['marker_rows'] += 1
                if self.is_exported(begin):
                        text = self.number_text(auto_units, 3)
                        truth['auto_total_rows'] += 1
                        truth['auto_units'] += round(auto_units, 3)
                        self.auto.add_day([self.row(begin, bolus='Normal', selected=text, delivered=text,
                                                    source='CLOSED_LOOP_AUTO_INSULIN')[2]])

        def finish_day(self, end):
                """Write out what lies before @end; an alarm that is cleared after midnight waits for its day."""
                for name, section in (('pump_rows', self.pump), ('sensor_rows', self.sensor)):
                        rows = sorted(getattr(self, name))
                        section.add_day([text for second, _, text in rows if second < end and self.is_exported(second)])
                        setattr(self, name, [row for row in rows if row[0] >= end])

        def run(self):
                o = self.o
                end = o.end  # datetime, exclusive
                last_day = (end - datetime.timedelta(seconds=1)).date()
                self.first_day = last_day - datetime.timedelta(days=o.days - 1)
                midnight = datetime.datetime.combine(self.first_day, datetime.time())
                world_end = int((end - midnight).total_seconds())
                self.export_from = max(0, (o.from_ - self.first_day).days * DAY) if o.from_ else 0
                self.export_until = min(world_end, ((o.to - self.first_day).days + 1) * DAY) if o.to else world_end
                for day in range(o.days):
                        self.live(day)
                        self.finish_day((day + 1) * DAY)
                self.finish_day((o.days + 1) * DAY)

                truth = self.truth
                truth['unit_name'] = 'mmol/L' if o.unit == 'mmol' else 'mg/dL'
                truth['from'] = self.date_of(self.export_from).isoformat()
                truth['to'] = self.date_of(self.export_until - 1).isoformat()
                truth['cgm_mean'] = truth['cgm_sum'] / truth['cgm'] if truth['cgm'] else None
                for name in ('cgm_first', 'cgm_last'):
                        if truth[name] is not None:
                                truth[name] = (midnight + datetime.timedelta(seconds=truth[name])).isoformat()
                truth['rows'] = {'pump': self.pump.n_rows, 'aggregated': self.auto.n_rows, 'sensor': self.sensor.n_rows}
                truth['n_rows'] = sum(truth['rows'].values())

        def date_of(self, second):
                return self.first_day + datetime.timedelta(days=second // DAY)

        # the file

        def write(self, out):
                d = self.o.delimiter
                unit = 'mmol/L' if self.o.unit == 'mmol' else 'mg/dL'
                columns = d.join(COLUMNS).replace('mg/dL', unit)
                begin, end = self.date_of(self.export_from), self.date_of(self.export_until - 1)
                if d == ',':
                        dates = f'"{begin:%d.%m.%Y} 12:00:00 AM"{d}"{end:%d.%m.%Y} 11:59:59 PM"'
                else:
                        dates = f'"{begin:%d/%m/%Y} 00:00:00"{d}"{end:%d/%m/%Y} 00:00:00"'
                lines = [d.join(['Last Name', 'First Name', 'Patient ID', 'System ID', 'Start Date', 'End Date', 'Device', MODEL,
                                 'Hardware Version', 'A2.01', 'Firmware Version', '8.13.2']),
                         d.join(['"Synthetic"', 'Sample', '""', '""', dates, '"Serial Number"', SERIAL, 'Software Version', '']),
                         d.join(['Patient DOB', '', '', '', '', '', 'CGM', SENSOR]),
                         'Device data shown may exceed selected date range.']
                out.write('\ufeff' + '\r\n'.join(lines) + '\r\n\r\n')
                index = 0
                zeros = f'{self.decimal}00000{d}'
                for name, title, section in (('Pump', '-------', self.pump), ('Pump', 'Aggregated Auto Insulin Data', self.auto),
                                             ('Sensor', '-------', self.sensor)):
                        out.write(d.join(['-------', MODEL, name, SERIAL, title]) + ' \r\n' + columns + '\r\n')
                        for rows in section.newest_first():
                                text = []
                                for row in rows:
                                        text.append(f'{index}{zeros}{row}\r\n')
                                        index += 1
                                out.write(''.join(text))
                        out.write('\r\n')


def moment(text):
        """A date means its whole day."""
        if 'T' in text:
                return datetime.datetime.fromisoformat(text)
        return datetime.datetime.fromisoformat(text) + datetime.timedelta(days=1)


def main():
        p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
        p.add_argument('--days', type=int, default=365, help='days of life (default 365)')
        p.add_argument('--end', type=moment, default=moment('2025-06-30'), metavar='DATE[THH:MM]', help='last day, or the moment of the export')
        p.add_argument('--from', dest='from_', type=datetime.date.fromisoformat, metavar='DATE', help='first day exported')
        p.add_argument('--to', type=datetime.date.fromisoformat, metavar='DATE', help='last day exported')
        p.add_argument('--seed', type=int, default=1)
        p.add_argument('--unit', choices=('mgdl', 'mmol'), default='mgdl')
        p.add_argument('--delimiter', choices=(';', ','), default=';', help="with ',' decimals have a point, with ';' a comma")
        p.add_argument('--out', default='-', help='file, - for standard output')
        p.add_argument('--truth', help='file for what is true, JSON')
        options = p.parse_args()
        if options.days < 1:
                p.error('--days: at least 1')

        life = Life(options)
        life.run()
        if options.out == '-':
                life.write(open(sys.stdout.fileno(), 'w', encoding='utf-8', newline='', closefd=False))
        else:
                with open(options.out, 'w', encoding='utf-8', newline='') as out:
                        life.write(out)
        if options.truth:
                with open(options.truth, 'w') as f:
                        json.dump(life.truth, f, indent=1)
                        f.write('\n')


main()
