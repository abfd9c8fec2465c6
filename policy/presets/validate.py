#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check the presets and turn them into the C table of policy/presets.h: validate.py OUTPUT PRESET.json..."""

import json
import os
import re
import sys

KINDS = ('cgm', 'fingerstick', 'calibration', 'bolus', 'basal', 'carbs', 'wizard', 'settings', 'alarm', 'device_event', 'note')
DETAILS = ('summary', 'data')  # report is known to the policy, but no request can use it yet
IDENTITIES = ('none', 'pseudonym')
# Codes of HL7 v3 ActReason (terminology.hl7.org/CodeSystem/v3-ActReason), branch PurposeOfUse: treatment, care
# management, patient requested, family requested, healthcare research.
PURPOSES = ('TREAT', 'CAREMGT', 'PATRQT', 'FAMRQT', 'HRESCH')


class Invalid(Exception):
    pass


def members(value, names, where):
    """The members of an object that has exactly these."""
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise Invalid(f'{where} must have exactly {", ".join(names)}')
    return [value[name] for name in names]


def number(value, least, most, where):
    if type(value) is not int or not least <= value <= most:
        raise Invalid(f'{where} must be a whole number from {least} to {most}')
    return value


def one_of(value, words, where):
    if not isinstance(value, str) or value not in words:
        raise Invalid(f'{where} must be one of {", ".join(words)}')
    return value


def truth(value, where):
    if type(value) is not bool:
        raise Invalid(f'{where} must be true or false')
    return value


def string(value, pattern, where):
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise Invalid(f'{where} must match {pattern}')
    return value


def unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise Invalid('a member occurs twice')
    return dict(pairs)


def preset(path):
    """One row of the table."""
    with open(path, encoding='ascii') as file:
        name, description, purpose, for_days, uses, scope, terms = members(
            json.load(file, object_pairs_hook=unique),
            ('name', 'description', 'purpose', 'for_days', 'uses', 'scope', 'terms'), 'a preset')
    kinds, detail, identity, free_text, window = members(
        scope, ('kinds', 'detail', 'identity', 'free_text', 'window'), 'scope')
    last_days, newer = members(window, ('last_days', 'newer'), 'window')
    retention_days, onward_sharing = members(terms, ('retention_days', 'onward_sharing'), 'terms')

    if string(name, '[a-z]+(-[a-z]+)*', 'name') + '.json' != os.path.basename(path):
        raise Invalid('name must be that of the file')
    string(description, r'[A-Z][ !#-\[\]-~]{19,299}\.', 'description')
    one_of(purpose, PURPOSES, 'purpose')
    number(for_days, 1, 365, 'for_days')
    number(uses, 0, 1000000, 'uses')
    if not isinstance(kinds, list) or not kinds or len(set(map(str, kinds))) != len(kinds):
        raise Invalid('kinds must be a list, not empty, of different kinds')
    for kind in kinds:
        one_of(kind, KINDS, 'a kind')
    if one_of(detail, DETAILS, 'detail') == 'summary' and kinds != ['cgm']:
        raise Invalid('a summary is of cgm and nothing else')
    one_of(identity, IDENTITIES, 'identity')
    if truth(free_text, 'free_text'):
        raise Invalid('free_text is granted by name, never by a preset')
    number(last_days, 1, 36500, 'last_days')
    truth(newer, 'newer')
    number(retention_days, 1, 3650, 'retention_days')
    if truth(onward_sharing, 'onward_sharing'):
        raise Invalid('onward_sharing must be false')

    bits = ' | '.join(f'RECORD_KIND_BIT(RECORD_{kind.upper()})' for kind in kinds)
    return f'''        {{
                .name = "{name}",
                .description = "{description}",
                .scope = {{
                        .kinds = {bits},
                        .detail = POLICY_{detail.upper()},
                        .identity = POLICY_{identity.upper()},
                        .window = {{ .type = POLICY_WINDOW_LAST, .last_days = {last_days}, .newer = {str(newer).lower()} }},
                }},
                .for_s = {for_days} * 86400,
                .uses_max = {uses},
                .purpose = "{purpose}",
                .retention_days = {retention_days},
        }},
'''


def main(output, *paths):
    rows = ''
    for path in paths:
        try:
            rows += preset(path)
        except (Invalid, ValueError) as error:
            return f'{path}: {error}'
    with open(output, 'w', encoding='ascii') as file:
        file.write('/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by policy/presets/validate.py. */\n\n'
                   '#include "policy/presets.h"\n\n'
                   f'const PolicyPreset policy_presets[] = {{\n{rows}        {{ 0 }},\n}};\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
