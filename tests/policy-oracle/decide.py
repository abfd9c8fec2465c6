#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second opinion on the policy, written from policy/POLICY.md and not from the C.

decide.py DRIVER [CASES [SEED]] runs the driver, answers each of its cases and fails at the first difference.
"""

import collections
import struct
import subprocess
import sys

DAY = 86400_000
SUMMARY, DATA = 1, 3
TOKEN, SUMMARISE, SLICE = 1, 2, 3
FIXED, LAST = 1, 2
PSEUDONYM = 2
CGM = 1 << 1
ALL_KINDS = sum(1 << kind for kind in range(1, 12))
FIRST_DAY, LAST_DAY = 0, 47482                        # 1970-01-01, 2100-01-01
FIRST_MS, LAST_MS = 631152000_000, 4102444800_000     # 1990-01-01, 2100-01-01
ZONE_MS = 14 * 3600_000
QUARANTINED = 8
FREE_FIELDS = {36, 37}                                # name, marker
SECRET_FIELDS = {35, 38, 39, 40, 41}                  # linked meter, raw_type, raw_values, raw_key, extra

(ALLOW, INVALID, REVOKED, SUSPENDED, CLOCK, NOT_YET, EXPIRED, USES, DETAIL, PARAMETERS, KINDS, WINDOW) = range(12)
VERDICTS = 'allow invalid revoked suspended clock not_yet expired uses detail parameters kinds window'.split()

Terms = collections.namedtuple('Terms', 'kinds detail identity free_text window_type from_day to_day last_days newer '
                                        'not_before expires uses_max')
TERMS = struct.Struct('<IBBBBiiiBqqI')
REST = struct.Struct('<iBBBIBIBBBiiqqqBBBBBqqBIBBqqqBBB')
CASE_SIZE = 2 * TERMS.size + REST.size


def valid(terms):
    if not terms.kinds or terms.kinds & ~ALL_KINDS:
        return False
    if terms.detail not in (1, 2, 3) or terms.identity not in (1, 2) or terms.uses_max > 1_000_000:
        return False
    if not 0 <= terms.not_before <= LAST_MS // 1000 or not 1 <= terms.expires - terms.not_before <= 365 * 86400:
        return False
    if terms.window_type == FIXED:
        return FIRST_DAY <= terms.from_day <= terms.to_day <= LAST_DAY
    return terms.window_type == LAST and 1 <= terms.last_days <= 36500


def window(terms, issued, today):
    """First and last day of what one of the two terms opens."""
    if terms.window_type == LAST:
        end = today if terms.newer else issued
        return end + 1 - terms.last_days, end
    return terms.from_day, terms.to_day if terms.newer else min(terms.to_day, issued)


def decide(signed, live, rest):
    (issued, revoked, suspended, expired, uses, operation, asked, has_from, has_to, has_since, from_day, to_day, since,
     now, wall, behind) = rest[:16]
    if not valid(signed) or not valid(live) or not FIRST_DAY <= issued <= LAST_DAY:
        return INVALID, None
    if operation not in (TOKEN, SUMMARISE, SLICE) or asked & ~ALL_KINDS or (has_from and has_to and from_day > to_day):
        return INVALID, None
    if revoked:
        return REVOKED, None
    if suspended:
        return SUSPENDED, None
    if behind or not FIRST_MS <= now <= LAST_MS or abs(wall - now) > ZONE_MS:
        return CLOCK, None
    if now // 1000 < signed.not_before or now // 1000 < live.not_before:
        return NOT_YET, None
    if expired or now // 1000 >= signed.expires or now // 1000 >= live.expires:
        return EXPIRED, None
    if operation == TOKEN and any(limit and uses >= limit for limit in (signed.uses_max, live.uses_max)):
        return USES, None
    if operation == SLICE and (signed.detail != DATA or live.detail != DATA):
        return DETAIL, None
    if operation != SLICE and (asked or has_from or has_to or has_since):
        return PARAMETERS, None

    kinds = signed.kinds & live.kinds & (CGM if operation == SUMMARISE else ALL_KINDS)
    if not kinds or asked & ~kinds:
        return KINDS, None

    today = wall // DAY
    (first_a, last_a), (first_b, last_b) = window(signed, issued, today), window(live, issued, today)
    first, last = max(first_a, first_b), min(last_a, last_b)
    if operation == SUMMARISE:
        last = min(last, today - 1)
    if first > last:
        return WINDOW, None
    if (has_from and not first <= from_day <= last) or (has_to and not first <= to_day <= last):
        return WINDOW, None
    if has_from:
        first = from_day
    if has_to:
        last = to_day
    return ALLOW, (asked or kinds, min(signed.identity, live.identity), signed.free_text & live.free_text,
                   first * DAY, last * DAY + DAY, since if has_since else -2**63)


def redact(effective, kind, flags, field, utc, local):
    """Whether the record leaves, its field leaves, its device is named."""
    kinds, identity, free_text, begin, end, since = effective
    if not kinds >> kind & 1 or flags & QUARANTINED or not begin <= local < end or utc < since:
        return 0, 0, 0
    field_leaves = field not in SECRET_FIELDS and (field not in FREE_FIELDS or free_text)
    return 1, int(field_leaves), int(identity == PSEUDONYM)


def main(driver, n_cases='1000000', seed='20240314'):
    counts, n = collections.Counter(), 0
    with subprocess.Popen([driver, n_cases, seed], stdout=subprocess.PIPE) as process:
        while block := process.stdout.read(CASE_SIZE * 4096):
            for at in range(0, len(block), CASE_SIZE):
                signed = Terms._make(TERMS.unpack_from(block, at))
                live = Terms._make(TERMS.unpack_from(block, at + TERMS.size))
                rest = REST.unpack_from(block, at + 2 * TERMS.size)
                kind, flags, field, _, utc, local = rest[16:22]
                verdict, effective = decide(signed, live, rest)
                answer = (verdict, *(effective or (0,) * 6), *(redact(effective, kind, flags, field, utc, local) if effective else (0,) * 3))
                if answer != rest[22:]:
                    print(f'case {n} of seed {seed}: the policy says {rest[22:]}, expected {answer}\n'
                          f'  signed {signed}\n  live {live}\n  rest {rest[:22]}')
                    process.kill()
                    return 1
                n += 1
                counts[VERDICTS[verdict]] += 1
                if effective:
                    counts['record leaves' if answer[7] else 'record stays'] += 1
                    if answer[7]:
                        counts['field leaves' if answer[8] else 'field stays'] += 1
    if process.returncode or n != int(n_cases):
        print(f'the driver ended with {process.returncode} after {n} cases')
        return 1
    for word in VERDICTS + ['record leaves', 'record stays', 'field leaves', 'field stays']:
        print(f'{counts[word]:9} {word}')
        if counts[word] * 500 < n:
            print(f'too few cases of {word!r}: this run says little about it')
            return 1
    print(f'{n} cases, no difference')
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
