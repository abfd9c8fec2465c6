# SPDX-License-Identifier: Apache-2.0
"""One truth, any form: a few days of a pump and a sensor, and the CSV file of them in whatever variant is asked for.

A Truth is rows with numbers in mg/dL, by the time that really passed; text(), given a Variant, prints those between two
moments as an account of some country, a spreadsheet program or an old browser would.
"""

import datetime
import random

DAY = 86400
MGDL_PER_MMOL = 18.016
MODEL, SERIAL = 'MiniMed 780G MMT-1886', 'NG0000077H'
# name, unit that the account decides, decimals (None: as short as they are)
COLUMNS = {
        'bg_source': ('BG Source', None), 'bg': ('BG Reading (%s)', 'glucose'), 'meter': ('Linked BG Meter ID', None),
        'rate': ('Basal Rate (U/h)', 'number'), 'temp': ('Temp Basal Amount', 'number'), 'temp_type': ('Temp Basal Type', None),
        'temp_for': ('Temp Basal Duration (h:mm:ss)', None), 'bolus': ('Bolus Type', None),
        'selected': ('Bolus Volume Selected (U)', 'number'), 'delivered': ('Bolus Volume Delivered (U)', 'number'),
        'bolus_for': ('Bolus Duration (h:mm:ss)', None), 'prime': ('Prime Type', None),
        'primed': ('Prime Volume Delivered (U)', 'number'), 'reservoir': ('Estimated Reservoir Volume after Fill (U)', 'number'),
        'alert': ('Alert', None), 'cleared': ('User Cleared Alerts', None), 'suspend': ('Suspend', None), 'rewind': ('Rewind', None),
        'estimate': ('BWZ Estimate (U)', 'number'), 'high': ('BWZ Target High BG (%s)', 'glucose'),
        'low': ('BWZ Target Low BG (%s)', 'glucose'), 'ratio': ('BWZ Carb Ratio (g/U)', 'number'),
        'sensitivity': ('BWZ Insulin Sensitivity (%s/U)', 'glucose'), 'carbs': ('BWZ Carb Input (grams)', 'number'),
        'wizard_bg': ('BWZ BG/SG Input (%s)', 'glucose'), 'correction': ('BWZ Correction Estimate (U)', 'number'),
        'food': ('BWZ Food Estimate (U)', 'number'), 'active': ('BWZ Active Insulin (U)', 'number'), 'status': ('BWZ Status', None),
        'calibration': ('Sensor Calibration BG (%s)', 'glucose'), 'cancelled': ('Bolus Cancellation Reason', None), 'unabsorbed': ('BWZ Unabsorbed Insulin Total (U)', 'number'),
        'final': ('Final Bolus Estimate', 'number'), 'sg': ('Sensor Glucose (%s)', 'glucose'), 'isig': ('ISIG Value', 'number'),
        'marker': ('Event Marker', 'marker'), 'number': ('Bolus Number', None), 'source': ('Bolus Source', None),
        'exception': ('Sensor Exception', None), 'new_time': ('New Device Time', 'moment'),
}
PREAMBLES = (
        ['Last Name{d}First Name{d}Patient ID{d}System ID{d}Start Date{d}End Date{d}Device{d}' + MODEL,
         '"Doe"{d}Jane{d}""{d}""{d}"01/02/2024 00:00:00"{d}"30/03/2024 00:00:00"{d}"Serial Number"{d}' + SERIAL,
         'Device data shown may exceed selected date range.', ''],
        ['Nachname{d}Vorname{d}Patienten-ID{d}Startdatum{d}Ger\u00e4t', '"M\u00fcller"{d}J\u00f6rg{d}""{d}"01.02.2024 12:00:00 AM"{d}', ''],
        ['Nom{d}Pr\u00e9nom{d}Num\u00e9ro', 'L\u2019Hu\u00eetre{d}Ren\u00e9e{d}42', 'Donn\u00e9es', '', ''],
        [],
)


class Truth:
        """@back: the clock was put back an hour in the night to 2024-10-27, as Berlin's was; @late: some hours later, by hand."""

        def __init__(self, seed, back=False, late=False):
                r = self.random = random.Random(seed)
                self.start = datetime.datetime(2024, 10, 24) if back else datetime.datetime(2023, 1, 1) + datetime.timedelta(days=r.randrange(900))
                self.days = 6
                self.switch = 3 * DAY + 3 * 3600 if back else None  # 03:00 becomes 02:00
                if back and late:
                        self.switch += r.randrange(2, 18) * 3600 + r.randrange(3600)
                self.rows = []  # (true second, order, section, fields)
                self.live()
                self.is_set = back and late
                if self.is_set:
                        self.add(self.switch - 1, new_time=self.switch)
                self.rows.sort(key=lambda row: row[:2])

        def add(self, second, section='Pump', **fields):
                self.rows.append((int(second), len(self.rows), section, fields))

        def live(self):
                r = self.random
                number = r.randrange(1, 250)
                phase = r.randrange(300)
                value = r.randrange(90, 200)
                for day in range(self.days):
                        begin = day * DAY
                        night = self.switch and day == self.switch // DAY
                        steps = sorted(set(r.sample(range(288), 10)) | (set(range(18, 66)) | set(range(self.switch % DAY // 300 - 14, self.switch % DAY // 300 + 14)) if night else set()))
                        for step in steps:
                                value = min(max(value + r.randrange(-25, 26), 45), 390)
                                fields = {'sg': value, 'isig': round(value / 5.1 + r.random(), 2)}
                                self.add(begin + step * 300 + phase, 'Sensor', **r.choices((fields, {'sg': 0, 'isig': round(8 + r.random(), 2)}, {'exception': 'SENSOR_INIT_CODE'}), (30, 1, 1))[0])
                        for _ in range(r.randrange(2, 6)):
                                at = begin + r.randrange(1200, DAY - 2400)
                                getattr(self, r.choice(('meal', 'finger', 'alarm', 'basal', 'temp', 'suspend', 'set_change', 'note', 'calibrate', 'stopped', 'set_clock')))(at, r, value)
                                number = number % 255 + 1
                                self.number = number
                        self.add(begin, 'Aggregated', bolus='Normal', selected=round(r.uniform(5, 30), 3), delivered=round(r.uniform(5, 30), 3), source='CLOSED_LOOP_AUTO_INSULIN')

        number = 1

        def meal(self, at, r, value):
                units, carbs = r.randrange(2, 200) * 0.025, r.randrange(5, 90)
                self.number = self.number % 255 + 1
                self.add(at, estimate=units, ratio=9.5, sensitivity=45, high=120, low=100, carbs=carbs, wizard_bg=r.choice((0, value)), correction=-0.1,
                         food=units, active=0.35, status='Delivered')
                dual = r.random() < 0.2
                common = dict(number=str(self.number), source='CLOSED_LOOP_FOOD_BOLUS')
                if dual:
                        common.update(bolus='Dual (square part)', bolus_for='1:30:00')
                else:
                        common.update(bolus='Normal')
                self.add(at, unabsorbed=-0.25, final=units)
                self.add(at, selected=units, **common)
                self.add(at + 60 + (5400 if dual else 0), selected=units, delivered=units, **common)

        def stopped(self, at, r, value):
                self.number = self.number % 255 + 1
                units, common = r.randrange(40, 200) * 0.025, {'bolus': 'Normal', 'number': str(self.number)}
                self.add(at, selected=units, **common)
                self.add(at + 50 + r.randrange(-2, 3), cancelled='User Request', **common)
                self.add(at + 50, selected=units, delivered=units / 2, **common)

        def set_clock(self, at, r, value):
                self.add(at, new_time=at + r.randrange(1, 50))

        def finger(self, at, r, value):
                self.add(at, bg_source='BG_READIN_RECEIVED', bg=value, meter='00000000007')
                if r.random() < 0.5:
                        self.add(at + 40, bg_source='USER_ACCEPTED_REMOTE_BG', bg=value, meter='00000000007')
                if r.random() < 0.5:
                        self.add(at + 70, bg_source='BG_SENT_FOR_CALIB', bg=value, meter='00000000007')

        def alarm(self, at, r, value):
                text = r.choice(('ALERT ON LOW', 'Guardian\u2122 LOST', 'CHANGE "SENSOR"', 'a, b; c'))
                self.add(at, alert=text)
                self.add(at + 30, cleared=text)

        def basal(self, at, r, value):
                self.add(at, rate=r.randrange(1, 80) * 0.025)

        def temp(self, at, r, value):
                self.add(at, temp=r.choice((50, 80)), temp_type='Percent', temp_for='1:30:00')

        def suspend(self, at, r, value):
                self.add(at, rate=0, suspend='USER_SUSPEND')
                self.add(at + 900, suspend='NORMAL_PUMPING')

        def set_change(self, at, r, value):
                self.add(at, rate=0, rewind='Rewind')
                self.add(at + 90, prime='Tubing Fill', primed=round(r.uniform(8, 14), 4), reservoir=round(r.uniform(100, 300), 3))

        def note(self, at, r, value):
                self.add(at, 'Sensor', marker=r.choice((('Insulin: ', r.randrange(1, 40) / 2, ''), ('Meal: ', r.randrange(1, 90) * 1.0, 'grams'), ('Exercise', None, ''))))

        def calibrate(self, at, r, value):
                self.add(at, 'Sensor', calibration=value)

        def local(self, second):
                if self.switch is not None and second >= self.switch:
                        second -= 3600
                return self.start + datetime.timedelta(seconds=second)

        def end(self):
                return self.days * DAY + 2 * 3600


class Variant:
        def __init__(self, r, plain=False, unit=None):
                self.unit = unit or 'mg/dL'
                self.mmol_decimals = r.choice((1, 2))
                self.delimiter = ';' if plain else r.choice(';,\t')
                self.decimal = '.' if plain else r.choice('.,')
                self.encoding = 'utf-8' if plain else r.choice(('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'cp1252'))
                self.line_end = '\n' if plain else r.choice(('\n', '\r\n'))
                self.date = 'ymd/' if plain else r.choice(('ymd/', 'ymd-', 'mdy/', 'dmy.', 'dmy-', 'dmy/', 'mixed'))
                self.time = '24' if plain else r.choice(('24', 'short', '12', 'a.m.'))
                self.preamble = PREAMBLES[0] if plain else r.choice(PREAMBLES)
                self.quotes = 0 if plain else r.choice((0, 0, 0.3, 1))
                self.index_in_front = not plain and r.random() < 0.15
                self.is_shuffled = not plain and r.random() < 0.3
                self.new_column = not plain and r.random() < 0.3
                self.is_padded = not plain and r.random() < 0.3
                self.trailing_zeros = not plain and r.random() < 0.3
                self.seed = r.randrange(1 << 30)

        def __str__(self):
                return ' '.join(f'{name}={value!r}' for name, value in vars(self).items() if name != 'preamble')

        def is_spreadsheet(self):
                return not self.date.startswith('ymd')

        # what is printed

        def digits(self, value, decimals=None):
                text = f'{value:.4f}'.rstrip('0').rstrip('.') if decimals is None else f'{value:.{decimals}f}'
                if self.trailing_zeros and decimals is None and '.' in text:
                        text = text.ljust(len(text.split('.')[0]) + 4, '0')
                return text.replace('.', self.decimal)

        def glucose(self, value):
                if self.unit == 'mg/dL' or value == 0:
                        return self.digits(value)
                return self.digits(round(value / MGDL_PER_MMOL, self.mmol_decimals), self.mmol_decimals)

        def day(self, when):
                form = self.date
                if form == 'mixed':
                        return f'{when.month}/{when.day}/{when.year}' if when.day > 12 else f'{when.month:02}-{when.day:02}-{when.year}'
                mark = form[-1]
                if form.startswith('ymd'):
                        return f'{when.year}{mark}{when.month:02}{mark}{when.day:02}'
                if form.startswith('mdy'):
                        return f'{when.month}{mark}{when.day}{mark}{when.year}'
                return f'{when.day:02}{mark}{when.month:02}{mark}{when.year}'

        def clock(self, when):
                if self.time == '24':
                        return f'{when:%H:%M:%S}'
                if self.time == 'short':
                        return f'{when.hour}:{when:%M:%S}'
                half = ('PM' if when.hour >= 12 else 'AM') if self.time == '12' else ('p. m.' if when.hour >= 12 else 'a. m.')
                return f'{(when.hour + 11) % 12 + 1:02}:{when:%M:%S} {half}'

        def value(self, name, value, truth):
                how = COLUMNS[name][1]
                if how == 'moment':
                        when = truth.local(value)
                        return f'{self.day(when)} {self.clock(when)}'
                if how == 'glucose':
                        return self.glucose(value)
                if how == 'number':
                        return self.digits(value)
                if how == 'marker':
                        return value[0] + (f'{value[1]:.2f}'.replace('.', self.decimal) if value[1] is not None else '') + value[2]
                return value

        def cell(self, text):
                if self.delimiter in text or '"' in text or (text and self.random.random() < self.quotes):
                        return '"' + text.replace('"', '""') + '"'
                return text

        def line(self, cells):
                return self.delimiter.join(self.cell(cell) for cell in cells)

        def bytes(self, truth, begin=None, end=None):
                """The export of what happened from @begin to before @end (true seconds)."""
                r = self.random = random.Random(self.seed)
                names = list(COLUMNS)
                order = ['date', 'time', *names] + (['new'] if self.new_column else [])
                if self.is_shuffled:
                        r.shuffle(order)
                header = []
                for name in order:
                        title = {'date': 'Date', 'time': 'Time', 'new': 'Something New (W)'}.get(name) or COLUMNS[name][0]
                        header.append(title % self.unit if '%s' in title else title)
                lines = [line.format(d=self.delimiter) for line in self.preamble]
                index = 0
                for section in ('Pump', 'Aggregated', 'Sensor'):
                        rows = [row for row in truth.rows if row[2] == section and (begin is None or row[0] >= begin) and (end is None or row[0] < end)]
                        title = ['-------', MODEL, 'Sensor' if section == 'Sensor' else 'Pump', SERIAL,
                                 'Aggregated Auto Insulin Data' if section == 'Aggregated' else '-------']
                        lines.append(self.delimiter.join(title + [''] * (len(header) - 4 if self.is_padded else 0)))
                        front = [''] if self.index_in_front else []
                        lines.append(self.line([*front, 'Index', *header]))
                        for at, _, _, fields in reversed(rows):
                                when = truth.local(at)
                                cells = {'date': self.day(when), 'time': self.clock(when)}
                                cells.update((name, self.value(name, value, truth)) for name, value in fields.items())
                                front = [str(index)] if self.index_in_front else []
                                lines.append(self.line([*front, self.digits(index, 5), *(cells.get(name, '') for name in order)]))
                                index += 1
                        lines.append('')
                text = self.line_end.join(lines) + self.line_end
                return text.encode(self.encoding)
