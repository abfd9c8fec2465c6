# SPDX-License-Identifier: Apache-2.0
"""What a wallet must hold of a CareLink file, to the last field, by rules of its own.

It shares no code with the importer and never looks at what that made of a file. What a column means is CareLink's; what
a field holds, and in which unit, is said in policy/record.h and daemon/FORMAT.md.

This file says what one row tells of; expected.py what belongs together, and what clocks meant.
"""

import csv
import datetime
import decimal
import functools
import re

D = decimal.Decimal
MILLI = D('0.001')


@functools.lru_cache(100000)
def printed(text):
        """A number as the device printed it, with a point; three decimals at most, half away from zero."""
        number = D(text.replace(',', '.').replace('\u2212', '-'))
        return str(number.quantize(MILLI, decimal.ROUND_HALF_UP) if number.as_tuple().exponent < -3 else number)


@functools.lru_cache(100000)
def plain(text):
        """The same without zeros at its end."""
        number = printed(text)
        return number.rstrip('0').rstrip('.') if '.' in number else number


def is_long(text):
        """More decimals than a record holds."""
        return len(text.replace(',', '.').partition('.')[2]) > 3


def spread(text):
        """h:mm:ss in seconds."""
        hours, minutes, seconds = text.split(':')
        return str(int(hours) * 3600 + int(minutes) * 60 + int(seconds))


@functools.lru_cache(10000)
def date(text):
        """YYYY/MM/DD or, from v1.0.1 and from spreadsheets, the month first."""
        parts = [int(part) for part in re.split('[/-]', text)]
        if parts[0] < 1000:
                parts = [parts[2] + (2000 if parts[2] < 100 else 0), parts[0], parts[1]]
        return datetime.datetime(*parts)


def moment(day, time):
        """A wall clock; datetime."""
        parts = [int(part) for part in time.split(' ')[0].split(':')]
        if time.endswith('PM') and parts[0] < 12:
                parts[0] += 12
        return date(day) + datetime.timedelta(hours=parts[0], minutes=parts[1], seconds=parts[2] if len(parts) > 2 else 0)


class Row:
        """@cells: what is not empty, by the column's name without its unit; @unit: of all columns; @device: (model, serial)."""

        __slots__ = ('line', 'cells', 'unit', 'section', 'local', 'device')

        def __init__(self, line, section, header, cells, devices):
                self.line, self.section, self.unit = line, section, header.unit
                self.cells = {base: cell.strip() for base, cell in zip(header.bases, cells) if cell and not cell.isspace()}
                self.local = moment(self.cells['Date'], self.cells['Time'])
                self.device = section.model, section.serial
                if 'Raw-Type' in self.cells:
                        self.device = self.cells['Raw-Device Type'], devices.get(self.cells['Raw-Device Type'], '')

        def get(self, name):
                return self.cells.get(name)


class Header:
        def __init__(self, names):
                self.bases = [name.partition(' (')[0].strip() for name in names]
                self.unit = {name.partition(' (')[0].strip(): name.partition(' (')[2].rstrip(')') for name in names}


class Section:
        def __init__(self, cells=()):
                cells = [cell.strip() for cell in cells] + [''] * 5
                self.model, self.type, self.serial = cells[1:4]
                self.is_aggregated = cells[4].startswith('Aggregated')


def read(path):
        """All rows. CareLink has no line break within a cell: lines are rows. The preamble of v1.0.1 says which serial numbers its devices have."""
        with open(path, encoding='utf-8-sig', newline='') as file:
                lines = file.read().splitlines()
        delimiter = next(re.match('[;,]?Index(.)', line)[1] for line in lines if re.match('[;,]?Index.', line))
        rows, devices, header, section = [], {}, None, Section()
        for line, cells in enumerate(csv.reader(lines, delimiter=delimiter), 1):
                if not any(cells):
                        continue
                if cells[0] == '-------':
                        section, header = Section(cells), None
                elif 'Index' in cells[:2]:
                        header = Header(cells)
                elif header:
                        rows.append(Row(line, section, header, cells, devices))
                elif cells[0] in ('Pump:', 'Meter:', 'Sensor:') and len(cells) > 2:
                        devices.setdefault(cells[1].strip(), cells[2].strip())
        return rows


class Event:
        """One record that a row tells of, before what other rows say is added. @extra: text by name that no field has."""

        def __init__(self, kind, value=None, unit='', word=None, **fields):
                self.kind, self.fields, self.extra = kind, {name: text for name, text in fields.items() if text is not None}, set()
                self.value, self.unit, self.word = value, unit, word  # word: LO or HI in place of a value
                self.is_own = True

        def content(self):
                content = {'kind': self.kind, **self.fields}
                if self.value is not None:
                        content['value'] = printed(self.value)
                elif self.word:
                        content['value'], content['code'] = None, self.word
                if self.unit:
                        content['unit'] = self.unit
                if self.extra:
                        content['extra'] = frozenset(self.extra)
                if 'glucose_source' in content:
                        content['glucose_source'] = frozenset(content['glucose_source'].split(','))
                return content


# --- 2018 and later: what is filled says what a row is ---

WIZARD = {'BWZ Carb Input': 'carbs', 'BWZ Carb Ratio': 'carb_ratio', 'BWZ Insulin Sensitivity': 'sensitivity', 'BWZ Target Low BG': 'target_low',
          'BWZ Target High BG': 'target_high', 'BWZ BG Input': 'glucose_input', 'BWZ BG/SG Input': 'glucose_input',
          'BWZ Correction Estimate': 'correction_estimate', 'BWZ Food Estimate': 'food_estimate', 'BWZ Active Insulin': 'active_insulin',
          'BWZ Unabsorbed Insulin Total': 'unabsorbed', 'Final Bolus Estimate': 'final_estimate'}
GLUCOSE = ('sensitivity', 'target_low', 'target_high', 'glucose_input')
CONNECTION = {'BLE Network Device': 'text_device', 'Device Update Event': 'text_device', 'Network Device Associated Reason': 'reason',
              'Network Device Disassociated Reason': 'reason', 'Network Device Disconnected Reason': 'reason'}
BOLUS_TYPES = {'Normal': 'normal', 'Square': 'square', 'Dual (normal part)': 'dual_normal', 'Dual (square part)': 'dual_square'}
TOKENS = {'mg/dL': 'mg_dl', 'mmol/L': 'mmol_l'}


class Modern:
        """Takes the cells of a row, event by event; whatever is left at the end is a cell that nobody has."""

        def __init__(self, row):
                self.row, self.left, self.events, self.long = row, dict(row.cells), [], set()
                for name in ('Index', 'Date', 'Time', ''):
                        self.left.pop(name, None)

        def take(self, name):
                return self.left.pop(name, None)

        def number(self, name, how=plain):
                """A cell as a number; what a record rounds is kept as it was printed."""
                cell = self.take(name)
                if cell and is_long(cell):
                        self.long.add(name + '=' + cell.replace(',', '.'))
                return cell and how(cell)

        def has(self, names):
                return not self.left.keys().isdisjoint(names)

        def add(self, *arguments, **fields):
                event = Event(*arguments, **fields)
                event.is_own = not self.events
                self.events.append(event)
                return event

        def glucose(self, name):
                """(value, unit, word): 0 and words are no reading."""
                cell, unit = self.take(name), self.row.unit[name]
                if cell in ('LO', 'HI'):
                        return None, unit, cell
                return (cell if cell and D(plain(cell)) else None), unit, None

        def run(self):
                left, add, take, number = self.left, self.add, self.take, self.number
                if 'New Device Time' in left:
                        day, _, time = take('New Device Time').partition(' ')
                        add('device_event', type='clock_change', new_time=moment(day, time).isoformat())
                if self.has(('Sensor Glucose', 'ISIG Value')):
                        unit = self.row.unit.get('Sensor Glucose', '')
                        reading = self.glucose('Sensor Glucose') if 'Sensor Glucose' in left else (None, unit, None)
                        add('cgm', *reading, isig=number('ISIG Value'), sensor_state=take('Sensor State'), exception=take('Sensor Exception'))
                if 'BG Reading' in left:
                        add('fingerstick', *self.glucose('BG Reading'), glucose_source=take('BG Source'), linked_meter=take('Linked BG Meter ID'))
                if 'Sensor Calibration BG' in left:
                        add('calibration', *self.glucose('Sensor Calibration BG'), sensor_state=take('Sensor State'))
                if self.has(('Bolus Type', 'Bolus Volume Selected', 'Bolus Volume Delivered')):
                        self.bolus()
                if self.has(WIZARD) or 'BWZ Estimate' in left:
                        self.wizard()
                if self.has(('Temp Basal Type', 'Temp Basal Amount')):
                        is_percent = take('Temp Basal Type') == 'Percent'
                        add('basal', take('Temp Basal Amount'), '%' if is_percent else 'U/h', type='temp_percent' if is_percent else 'temp',
                            duration_s=spread(take('Temp Basal Duration')), name=take('Preset Temp Basal Name'))
                if 'Suspend' in left:
                        word, rate = take('Suspend'), take('Basal Rate')
                        add('basal', rate, 'U/h' if rate else '', type='resume' if word == 'NORMAL_PUMPING' else 'suspend', reason=word)
                for name, cleared in (('Alert', None), ('Alarm', None), ('User Cleared Alerts', 'yes')):
                        if name in left:
                                word = take(name)
                                code = re.fullmatch(r'Other Alarm Code: (\d+)', word)
                                add('alarm', text_device=word, cleared=cleared, code=code and code[1])
                if 'Prime Type' in left:
                        add('device_event', number('Prime Volume Delivered', printed), 'U', type='prime', text_device=take('Prime Type'),
                            volume=number('Estimated Reservoir Volume after Fill'))
                if 'Rewind' in left:
                        add('device_event', type='rewind', text_device=take('Rewind'))
                if 'Event Marker' in left:
                        self.marker()
                for name in ('Sensor Calibration Rejected Reason', 'Sensor Exception'):
                        if name in left:
                                add('device_event', type='sensor', exception=take(name), sensor_state=take('Sensor State'))
                for name, field in CONNECTION.items():
                        if name in left:
                                cell = take(name)
                                words = re.sub(r' ?\([^)]*\)', '', cell, 1)  # a serial number stays inside
                                add('device_event', type='connection', **{field: words})
                                if words != cell:
                                        self.long.add(name + '=' + cell)
                if 'Basal Rate' in left:
                        add('basal', number('Basal Rate', printed), 'U/h', type='rate')
                for name in ('Insulin Action Curve Time', 'Scroll Step Size'):
                        if name in left:
                                add('settings', setting=name, setting_value=take(name))
                if not self.events:
                        add('device_event', type='other')
                self.events[0].extra |= self.long
                return self.events

        def bolus(self):
                take, number = self.take, self.number
                source = take('Bolus Source')
                if self.row.section.is_aggregated or source == 'CLOSED_LOOP_AUTO_INSULIN':  # a day's total is no bolus; its type is always this one
                        if self.left.get('Bolus Type') == 'Normal':
                                take('Bolus Type')
                        self.add('device_event', number('Bolus Volume Delivered', printed), 'U', type='daily_auto_total', origin=source,
                                 programmed=number('Bolus Volume Selected'))
                        return
                delivered, bolus_number = number('Bolus Volume Delivered', printed), take('Bolus Number')
                kind = BOLUS_TYPES[take('Bolus Type')]
                if source in ('CLOSED_LOOP_MICRO_BOLUS', 'CLOSED_LOOP_AUTO_BASAL'):
                        kind = 'micro'
                duration = take('Bolus Duration')
                self.add('bolus', delivered, 'U' if delivered else '', type=kind if delivered else 'selected_only', programmed=number('Bolus Volume Selected'),
                         delivered=delivered and plain(delivered), duration_s=duration and spread(duration), origin=source,
                         number=bolus_number and str(int(D(plain(bolus_number)))), reason=take('Bolus Cancellation Reason'), name=take('Preset Bolus'))

        def wizard(self):
                row = self.row
                carb_unit = {'grams': 'g', 'exchanges': 'exchange'}[row.unit['BWZ Carb Input']] if 'BWZ Carb Input' in self.left else ''
                fields = {field: self.number(name) for name, field in WIZARD.items() if name in self.left}
                estimate = self.number('BWZ Estimate', printed)
                for field in GLUCOSE:  # 0: none was given
                        if fields.get(field) == '0':
                                del fields[field]
                units = {row.unit[name] for name, field in WIZARD.items() if field in GLUCOSE and field in fields and name in row.cells}
                if units:
                        fields['glucose_unit'] = TOKENS[units.pop().replace('/U', '')]
                if 'carbs' in fields:
                        fields['carb_unit'] = {'g': 'gram', 'exchange': 'exchange'}[carb_unit]
                status = self.take('BWZ Status')
                self.add('wizard', estimate, 'U' if estimate else '', status=status, step=self.take('Scroll Step Size'), **fields)
                if D(fields.get('carbs', 0)) > 0 and status != 'Not Delivered':  # what was wanted and not followed is no meal
                        self.add('carbs', row.cells['BWZ Carb Input'], carb_unit, origin='bolus wizard')

        def marker(self):
                words = re.sub(r'(?<=\d),(?=\d)', '.', self.take('Event Marker'))
                match = re.fullmatch(r'(Insulin|Meal): ([0-9.]+)(grams)?', words)
                kind = match[1].lower() if match else 'exercise' if words.startswith('Exercise') else 'other'
                value, unit = (match[2], {'insulin': 'U', 'meal': 'g'}[kind]) if match else (None, '')
                self.add('note', value, unit, marker=words, marker_type=kind)
                if kind == 'insulin':
                        self.add('bolus', value, 'U', type='injection', delivered=plain(value), marker_type=kind)
                if kind == 'meal':
                        self.add('carbs', value, 'g', marker_type=kind)


# --- v1.0.1: Raw-Type says what a row is, Raw-Values has it without loss, the other columns have it rounded ---

PRIVATE = re.compile(r'.*(_ID|_ID_\d|_DATUM|_NAME|_REQUESTOR)$')  # ids, and names that somebody chose: never part of a text that may leave
EVENTS = {'Rewind': 'rewind', 'ChangeBatteryEnable': 'battery', 'ChangeBatteryEnableGH': 'battery', 'JournalEntryPumpLowBattery': 'battery',
          'ChangeTime': 'clock_change', 'ChangeTimeGH': 'clock_change', 'AlarmResetTimeChangeGH': 'clock_change', 'SelfTest': 'other', 'SaveSettings': 'other'}
AMOUNTS = {'ResultDailyTotal': 'daily_total', 'JournalEntryPumpLowReservoir': 'reservoir', 'Prime': 'prime'}
ESTIMATE = {'CARB_INPUT': 'carbs', 'CARB_RATIO': 'carb_ratio', 'INSULIN_SENSITIVITY': 'sensitivity', 'BG_TARGET_LOW': 'target_low',
            'BG_TARGET_HIGH': 'target_high', 'BG_INPUT': 'glucose_input', 'CORRECTION_ESTIMATE': 'correction_estimate', 'FOOD_ESTIMATE': 'food_estimate',
            'UNABSORBED_INSULIN_TOTAL': 'unabsorbed'}
SHOWN = {  # column: what of the record it shows; None: its value
        'BG Reading': None, 'Sensor Calibration BG': None, 'Sensor Glucose': None, 'Temp Basal Amount': None, 'Bolus Volume Delivered': None,
        'Prime Volume Delivered': None, 'Daily Insulin Total': None, 'BWZ Estimate': None, 'ISIG Value': 'isig', 'Bolus Volume Selected': 'programmed',
        'Programmed Bolus Duration': 'duration_s', 'Temp Basal Duration': 'duration_s', 'Linked BG Meter ID': 'linked_meter', 'Alarm': 'text_device',
        'Prime Type': 'text_device', 'BWZ Target High BG': 'target_high', 'BWZ Target Low BG': 'target_low',
        'BWZ Carb Ratio': 'carb_ratio', 'BWZ Insulin Sensitivity': 'sensitivity', 'BWZ Carb Input': 'carbs', 'BWZ BG Input': 'glucose_input',
        'BWZ Correction Estimate': 'correction_estimate', 'BWZ Food Estimate': 'food_estimate', 'BWZ Active Insulin': 'unabsorbed',
}


class Legacy:
        def __init__(self, row):
                self.row, self.type = row, row.cells['Raw-Type']
                self.raw = {key: text for key, text in re.findall(r'([A-Z0-9_]+)=(.*?)(?=, [A-Z0-9_]+=|$)', row.get('Raw-Values') or '') if text != 'null'}
                self.events, self.errors = [], []

        def take(self, key):
                return self.raw.pop(key, None)

        def number(self, key):
                text = self.take(key)
                return text and plain(text)

        def seconds(self, key):
                text = self.take(key)
                return text and str(int(text) // 1000)

        def open(self):
                """What is left and may leave the wallet, as one text."""
                texts = [f'{key}={self.take(key)}' for key in list(self.raw) if not PRIVATE.match(key)]
                return ', '.join(texts) or None

        def glucose(self, column):
                """The column says the unit; without a cell AMOUNT has the number."""
                cell, amount = self.row.get(column), self.take('AMOUNT')
                if cell and amount and D(cell) != D(amount):
                        self.errors.append(f'column {column} shows {cell}, AMOUNT is {amount}')
                unit = self.row.unit[column] if column in self.row.unit else self.row.unit['BG Reading']
                return (cell or amount) if D(cell or amount) else None, unit

        def run(self):
                event = self.event()
                event.fields.update(raw_type=self.type, raw_key='/'.join(self.row.get(name) or '' for name in ('Raw-ID', 'Raw-Upload ID', 'Raw-Seq Num')))
                if self.raw:
                        event.fields['raw_values'] = ', '.join(f'{key}={text}' for key, text in self.raw.items())
                self.events.insert(0, event)
                for other in self.events[1:]:
                        other.is_own = False
                return self.events

        def event(self):
                kind, take, row = self.type, self.take, self.row
                if kind in ('BolusNormal', 'BolusSquare'):
                        part = 'square' if kind == 'BolusSquare' else 'normal'
                        amount = take('AMOUNT')
                        return Event('bolus', amount, 'U', type='dual_' + part if take('IS_DUAL_COMPONENT') == 'true' else part, delivered=plain(amount),
                                     programmed=self.number('PROGRAMMED_AMOUNT'), duration_s=self.seconds('DURATION'), origin=take('ACTION_REQUESTOR'),
                                     unabsorbed=self.number('UNABSORBED_INSULIN_TOTAL'))
                if kind == 'BolusWizardBolusEstimate':
                        return self.estimate()
                if kind == 'BasalProfileStart':
                        return Event('basal', take('RATE'), 'U/h', type='rate', index=take('PROFILE_INDEX'), start_s=self.seconds('START_TIME'),
                                     name=take('PATTERN_NAME'), origin=take('ACTION_REQUESTOR'))
                if kind in ('ChangeTempBasal', 'ChangeTempBasalPercent', 'ChangeTempBasalNoRate'):
                        value = take('PERCENT_OF_RATE' if kind == 'ChangeTempBasalPercent' else 'RATE')
                        is_percent = kind == 'ChangeTempBasalPercent'
                        return Event('basal', value, '%' if is_percent else 'U/h' if value else '', type='temp_percent' if is_percent else 'temp',
                                     duration_s=self.seconds('DURATION'), origin=take('ACTION_REQUESTOR'))
                if kind == 'ChangeSuspendEnable':
                        word = take('ENABLE')
                        return Event('basal', type='resume' if word == 'normal_pumping' else 'suspend', reason=word, origin=take('ACTION_REQUESTOR'))
                if kind == 'BGReceived':
                        return Event('fingerstick', *self.glucose('BG Reading'), glucose_source=kind, linked_meter=row.get('Linked BG Meter ID'))
                if kind == 'CalBGForPH':
                        return Event('fingerstick', *self.glucose('Sensor Calibration BG'), glucose_source=kind)
                if kind == 'CalBGForGH':
                        return Event('calibration', *self.glucose('Sensor Calibration BG'), glucose_source=take('ORIGIN_TYPE'))
                if kind == 'GlucoseSensorData':
                        return Event('cgm', *self.glucose('Sensor Glucose'), isig=self.number('ISIG'))
                if kind in ('GlucoseSensorDataHigh', 'GlucoseSensorDataLow'):  # what AMOUNT has is the end of the sensor's range
                        return Event('cgm', None, self.glucose('Sensor Glucose')[1], 'HI' if kind.endswith('High') else 'LO', isig=self.number('ISIG'))
                if kind in ('AlarmPump', 'AlarmSensor', 'ClearAlarm'):
                        return Event('alarm', code=take('RAW_TYPE' if kind == 'AlarmPump' else 'ALARM_TYPE'), text_device=row.get('Alarm'),
                                     cleared='yes' if kind == 'ClearAlarm' else None)
                if kind == 'JournalEntryMealMarker':
                        unit = {'grams': 'g', 'exchanges': 'exchange'}[take('CARB_UNITS')]
                        return Event('carbs', take('CARB_INPUT'), unit, marker_type='meal', origin=take('ACTION_REQUESTOR'))
                if kind == 'JournalEntryOtherMarker':
                        return Event('note', marker=kind, marker_type='other')
                if kind in AMOUNTS:
                        return Event('device_event', take('AMOUNT'), 'U', type=AMOUNTS[kind], programmed=self.number('PROGRAMMED_AMOUNT'),
                                     text_device=take('PRIME_TYPE'), origin=take('ACTION_REQUESTOR'))
                if kind in EVENTS or kind.startswith('Sensor'):
                        new = row.get('New Device Time')
                        return Event('device_event', type=EVENTS.get(kind, 'sensor'), origin=take('ACTION_REQUESTOR'), text_device=self.open(),
                                     new_time=new and moment(*new.split(' ', 1)).isoformat())
                if kind.startswith(('Current', 'Change')):
                        return Event('settings', setting=kind, index=take('PROFILE_INDEX' if 'Profile' in kind else 'INDEX'),
                                     start_s=self.seconds('START_TIME'), name=take('PATTERN_NAME'), setting_value=self.open())
                raise KeyError(kind)

        def estimate(self):
                take = self.take
                estimate, carb_cell = take('BOLUS_ESTIMATE'), self.raw.get('CARB_INPUT')
                fields = {field: self.number(key) for key, field in ESTIMATE.items() if key in self.raw}
                for field in GLUCOSE:
                        if fields.get(field) == '0':
                                del fields[field]
                fields['carb_unit'] = {'grams': 'gram', 'exchanges': 'exchange'}[take('CARB_UNITS')]
                fields['glucose_unit'] = {'mg dl': 'mg_dl', 'mmol l': 'mmol_l'}[take('BG_UNITS')]
                if D(fields['carbs']):
                        self.events.append(Event('carbs', carb_cell, {'gram': 'g', 'exchange': 'exchange'}[fields['carb_unit']], origin='bolus wizard'))
                return Event('wizard', estimate, 'U', origin=take('ACTION_REQUESTOR'), **fields)


def shown_otherwise(row, event):
        """A legacy row's columns for people, which no record was made of: those that contradict the event."""
        for name, cell in row.cells.items():
                if name.startswith('Raw-') or name in ('Index', 'Date', 'Time', 'Timestamp'):
                        continue
                if name in ('Bolus Type', 'Temp Basal Type', 'Suspend', 'Rewind', 'New Device Time'):
                        words = {'Normal': 'normal', 'Square': 'square', 'Dual/Normal': 'dual_normal', 'Dual/Square': 'dual_square', 'Percent': 'temp_percent',
                                 'Rate': 'temp', 'Suspended': 'suspend', 'Resume': 'resume', 'Rewind': 'rewind'}
                        is_same = name == 'New Device Time' or words.get(cell) == event.fields['type']
                else:
                        held = event.value if SHOWN[name] is None else event.fields.get(SHOWN[name], '0')
                        if event.word and SHOWN[name] is None:
                                held = cell
                        if SHOWN[name] == 'duration_s':
                                is_same = spread(cell) == held
                        elif SHOWN[name] in ('linked_meter', 'text_device'):
                                is_same = cell.casefold().replace(' ', '_') == held.casefold().replace(' ', '_')
                        else:
                                is_same = abs(D(cell) - D(held)) <= D(1).scaleb(D(cell).as_tuple().exponent) / 2
                if not is_same:
                        yield f'column {name} shows {cell}, Raw-Values have {event.fields} {event.value}'
