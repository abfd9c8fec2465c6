/* SPDX-License-Identifier: Apache-2.0 */

#include "clocks.h"

static const int64_t minute_ms = 60 * 1000;
static const int64_t day_ms = 24 * 60 * 60 * 1000;

/* What a clock is wrong by is set right along with the hour. The latest in the exports that we know followed after a day. */
static const int64_t slack_ms = 15 * 60 * 1000;
static const int64_t late_ms = 14 * INT64_C(24) * 60 * 60 * 1000;

static int64_t step_of(const ClockSetting *setting) {
        return setting->new_ms - setting->old_ms;
}

static bool same_step(int64_t a_ms, int64_t b_ms) {
        return llabs(a_ms - b_ms) <= slack_ms;
}

static bool is_of(const ClockSetting *setting, const uint8_t *device) {
        return memcmp(setting->device, device, CLOCKS_DEVICE_SIZE) == 0;
}

void clocks_add(Clocks *clocks, const uint8_t device[static CLOCKS_DEVICE_SIZE], int64_t old_ms, int64_t new_ms) {
        ClockSetting *setting = &clocks->all[clocks->n];

        if (clocks->n == CLOCKS_MAX || llabs(new_ms - old_ms) <= slack_ms)
                return;
        memcpy(setting->device, device, CLOCKS_DEVICE_SIZE);
        setting->old_ms = old_ms;
        setting->new_ms = new_ms;
        clocks->n++;
}

/* By what they were set to: that is more likely to be true than what they were set from. */
static int compare(const void *a, const void *b) {
        const ClockSetting *x = a, *y = b;

        if (x->new_ms != y->new_ms)
                return x->new_ms < y->new_ms ? -1 : 1;
        if (x->old_ms != y->old_ms)
                return x->old_ms < y->old_ms ? -1 : 1;
        return memcmp(x->device, y->device, sizeof(x->device));
}

/* A journey that the patient told of: a period that begins at most two weeks before, or tomorrow, and by that step. Of several settings the nearest is it. */
static bool is_journey(const Clocks *clocks, Zones *zones, const ClockSetting *setting) {
        for (size_t i = 1; i < zones_n(zones); i++) {
                int64_t from_ms, step_ms = zones_step(zones, i, &from_ms);
                bool is_nearest = true;

                if (!same_step(step_ms, step_of(setting)) || from_ms < setting->old_ms - late_ms || from_ms > setting->old_ms + 3 * day_ms / 2)
                        continue;
                for (size_t k = 0; k != clocks->n; k++)
                        is_nearest &= !is_of(&clocks->all[k], setting->device) || !same_step(step_ms, step_of(&clocks->all[k])) ||
                                      llabs(clocks->all[k].old_ms - from_ms) >= llabs(setting->old_ms - from_ms);
                if (is_nearest)
                        return true;
        }
        return false;
}

void clocks_settle(Clocks *clocks, Zones *zones) {
        qsort(clocks->all, clocks->n, sizeof(clocks->all[0]), compare);

        /* one that was put back too far shows the same times again until that is put right */
        for (size_t i = 0; i != clocks->n; i++) {
                const ClockSetting *back = &clocks->all[i];

                clocks->is_journey[i] = zones && is_journey(clocks, zones, back);
                clocks->until_ms[i] = back->old_ms;
                for (size_t k = 0; k != clocks->n && step_of(back) < 0; k++) {
                        const ClockSetting *other = &clocks->all[k];

                        if (k != i && is_of(other, back->device) && other->old_ms > back->new_ms && other->old_ms < clocks->until_ms[i])
                                clocks->until_ms[i] = other->old_ms;
                }
        }
}

bool clocks_shows_twice(const Clocks *clocks, const uint8_t device[static CLOCKS_DEVICE_SIZE], int64_t local_ms) {
        for (size_t i = 0; i != clocks->n && clocks->all[i].new_ms <= local_ms; i++)
                if (local_ms < clocks->until_ms[i] && step_of(&clocks->all[i]) < 0 && is_of(&clocks->all[i], device))
                        return true;
        return false;
}

/* With which setting the clock followed a change of its zone, late or in the evening before; NULL when none is known. */
static const ClockSetting *follower(const Clocks *clocks, const uint8_t *device, const ZoneChange *change) {
        const ClockSetting *first = NULL;

        for (size_t i = 0; i != clocks->n && clocks->all[i].new_ms <= change->from_ms + late_ms; i++) {
                const ClockSetting *setting = &clocks->all[i];

                if (setting->new_ms < change->from_ms - day_ms || !is_of(setting, device) || clocks->is_journey[i])
                        continue;
                if (first) /* there and back, before the zone's hour changed */
                        return setting->new_ms > change->from_ms ? first : NULL;
                if (!same_step(step_of(setting), change->step_ms))
                        return NULL;
                if (setting->old_ms > change->from_ms)
                        return setting;
                first = setting;
        }
        return first;
}

static bool is_before(const Record *record, const ClockSetting *setting) {
        if (record->local_ms > setting->old_ms || record->flags & RECORD_SECOND_PASS)
                return false;
        /* what lies between was shown again: only order tells */
        return record->local_ms < setting->new_ms || record->local_ms == setting->old_ms || record->flags & RECORD_FIRST_PASS;
}

static bool is_after(const Record *record, const ClockSetting *setting) {
        if (record->local_ms < setting->new_ms || record->flags & RECORD_FIRST_PASS)
                return false;
        return record->local_ms > setting->old_ms || record->local_ms == setting->new_ms || record->flags & RECORD_SECOND_PASS;
}

/* Whether the clock had not followed its zone yet, or had done so already; then *ret_min is the offset that it showed. */
static bool is_out_of_step(const Clocks *clocks, Zones *zones, const uint8_t *device, const Record *record, int16_t *ret_min) {
        const ClockSetting *setting;
        ZoneChange change;

        if (zones_last_change(zones, record->local_ms, &change) && record->local_ms <= change.from_ms + late_ms + llabs(change.step_ms)) {
                setting = follower(clocks, device, &change);
                *ret_min = change.before_min;
                if (setting && setting->old_ms > change.from_ms)
                        return is_before(record, setting);
        }
        if (zones_last_change(zones, record->local_ms + day_ms, &change) && record->local_ms < change.from_ms + llabs(change.step_ms) &&
            (record->local_ms >= change.from_ms || record->offset_min == change.before_min)) { /* or tomorrow's zone is another one */
                setting = follower(clocks, device, &change);
                *ret_min = (int16_t) (change.before_min + change.step_ms / minute_ms);
                if (setting && setting->old_ms <= change.from_ms)
                        return is_after(record, setting);
        }
        return false;
}

void clocks_place(const Clocks *clocks, Zones *zones, const uint8_t device[static CLOCKS_DEVICE_SIZE], Record *record) {
        int16_t offset_min;

        zones_place(zones, record);
        if (clocks->n == 0 || record->clock == RECORD_CLOCK_UNSET)
                return;

        if (is_out_of_step(clocks, zones, device, record, &offset_min)) {
                record->utc_ms = record->local_ms - offset_min * minute_ms;
                record->offset_min = offset_min;
                record->clock = RECORD_CLOCK_ZONE;
        } else if (record->clock == RECORD_CLOCK_ZONE && !(record->flags & RECORD_SECOND_PASS) && clocks_shows_twice(clocks, device, record->local_ms)) {
                record->clock = RECORD_CLOCK_AMBIGUOUS;
        }
}
