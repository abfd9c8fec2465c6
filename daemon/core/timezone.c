/* SPDX-License-Identifier: Apache-2.0 */

/* Where the devices' clocks live, and since when. Records are placed in time when they are read, so a change is one commit. */

#include "daemon/common/civil.h"
#include "failure.h"
#include "manager.h"

enum {
        CHECK_ROWS_MAX = 4000, /* of one step: about 4 ms */
        SHIFTS_MAX = 16,
};

/* The wallet's specification with one period put in place of what begins on its day; a zone of NULL takes that away. */
static int compose(char ret[static ZONES_SPEC_MAX], const Zones *zones, int32_t day, const char *zone) {
        bool is_put = !zone;
        size_t n = 0;

        ret[0] = 0;
        for (size_t i = 0; i <= zones_n(zones); i++) {
                int32_t at = INT32_MAX;
                const char *name = i < zones_n(zones) ? zones_at(zones, i, &at) : NULL;

                if (!is_put && day <= at) {
                        char date[CIVIL_DATE_SIZE] = "";

                        if (day != INT32_MIN)
                                civil_date(date, day);
                        n += (size_t) snprintf(ret + n, ZONES_SPEC_MAX - n, "%s%s%s%s", n ? ";" : "", date, date[0] ? "=" : "", zone);
                        is_put = true;
                        if (n >= ZONES_SPEC_MAX)
                                return -E2BIG;
                }
                if (name && at != day) {
                        char date[CIVIL_DATE_SIZE] = "";

                        if (at != INT32_MIN)
                                civil_date(date, at);
                        n += (size_t) snprintf(ret + n, ZONES_SPEC_MAX - n, "%s%s%s%s", n ? ";" : "", date, date[0] ? "=" : "", name);
                        if (n >= ZONES_SPEC_MAX)
                                return -E2BIG;
                }
        }
        return 0;
}

/* @ret_day: INT32_MIN where no day is given. Return: 0; > 0 the call is answered. */
static int get_day(Call *call, int32_t *ret_day) {
        const char *from = call_string(call, "from");

        *ret_day = INT32_MIN;
        if (from && clock_parse_day(ret_day, from) != 0) {
                (void) call_invalid(call, "from");
                return 1;
        }
        return 0;
}

static int refuse_zone(Call *call, const char *zone) {
        return call_refuse(call, "'%.64s' is no time zone that this machine knows. Give a name such as Europe/Berlin; `timedatectl list-timezones` lists them.", zone);
}

static int set_zones(Call *call, Manager *manager, int32_t day, const char *zone) {
        char spec[ZONES_SPEC_MAX];
        int r;

        if (manager_is_storing(manager))
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
        if (!manager->wallet->zones)
                (void) snprintf(spec, sizeof(spec), "%s", zone ? zone : "UTC"); /* nothing that was can be kept */
        else if (compose(spec, manager->wallet->zones, day, zone) < 0)
                return call_refuse(call, "There are too many periods of zones. Take one away first: carewallet timezone remove DAY");
        r = wallet_set_zones(manager->wallet, spec);
        if (r == -EINVAL)
                return zone ? refuse_zone(call, zone) : -EINVAL;
        if (r < 0)
                return r;
        if (r > 0)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The zone was not changed: the disk is full or cannot be written."));
        return call_reply(call, NULL);
}

int method_set_timezone(Call *call, void *userdata) {
        const char *zone = call_string(call, "timezone");

        return clock_zone_valid(zone) ? set_zones(call, userdata, INT32_MIN, zone) : refuse_zone(call, zone);
}

int method_add_timezone(Call *call, void *userdata) {
        const char *zone = call_string(call, "timezone");
        int32_t day;

        if (!clock_zone_valid(zone))
                return refuse_zone(call, zone);
        return get_day(call, &day) == 0 ? set_zones(call, userdata, day, zone) : 0;
}

int method_remove_timezone(Call *call, void *userdata) {
        const Manager *manager = userdata;
        int32_t day, at;

        if (get_day(call, &day) != 0)
                return 0;
        for (size_t i = 1; manager->wallet->zones && i < zones_n(manager->wallet->zones); i++) {
                (void) zones_at(manager->wallet->zones, i, &at);
                if (at == day)
                        return set_zones(call, userdata, day, NULL);
        }
        return call_error(call, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "period", "name", call_string(call, "from")));
}

int method_timezones(Call *call, void *userdata) {
        const Manager *manager = userdata;
        const Zones *zones = manager->wallet->zones;
        json_t *all = json_array();

        if (!zones)
                (void) json_array_append_new(all, json_pack("{s:s}", "timezone", manager->wallet->zone));
        for (size_t i = 0; zones && i < zones_n(zones); i++) {
                int32_t day;
                json_t *one = json_pack("{s:s}", "timezone", zones_at(zones, i, &day));

                if (day != INT32_MIN) {
                        char date[CIVIL_DATE_SIZE];

                        civil_date(date, day);
                        (void) json_object_set_new(one, "from", json_string(date));
                }
                (void) json_array_append_new(all, one);
        }
        return call_reply(call, json_pack("{s:o}", "timezones", all));
}

/* --- what would move --- */

typedef struct Check {
        Manager *manager;
        Call *call;
        sd_event_source *source;
        Zones *zones;
        Clocks clocks; /* by those zones */
        RecordsCursor cursor;
        uint64_t n_records, n_moved, n_ambiguous, n_skipped;
        uint64_t n_kinds[N_RECORD_KINDS];
        int64_t first_local_ms, last_local_ms;
        struct {
                int64_t minutes;
                uint64_t n;
        } shifts[SHIFTS_MAX]; /* the last one holds what found no room */
        size_t n_shifts;
} Check;

static Check *check_free(Check *check) {
        if (check) {
                sd_event_source_disable_unref(check->source);
                (void) zones_free(check->zones);
                free(check);
        }
        return NULL;
}

static void on_check_gone(Call *call, void *userdata) {
        (void) check_free(userdata);
        (void) call_free(call);
}

static int check_record(const Record *record, void *userdata) {
        Check *check = userdata;
        Record then = *record;
        int64_t minutes;
        size_t i = 0;

        clocks_place(&check->clocks, check->zones, then.identity, &then);
        check->n_records++;
        check->n_ambiguous += then.clock == RECORD_CLOCK_AMBIGUOUS;
        check->n_skipped += then.clock == RECORD_CLOCK_SKIPPED;
        if (then.utc_ms == record->utc_ms)
                return 0;

        if (check->n_moved == 0 || record->local_ms < check->first_local_ms)
                check->first_local_ms = record->local_ms;
        if (check->n_moved == 0 || record->local_ms > check->last_local_ms)
                check->last_local_ms = record->local_ms;
        check->n_moved++;
        check->n_kinds[record->kind]++;
        minutes = (then.utc_ms - record->utc_ms) / 60000;
        while (i < check->n_shifts && check->shifts[i].minutes != minutes)
                i++;
        if (i == check->n_shifts) {
                if (i == SHIFTS_MAX)
                        i--;
                else
                        check->shifts[check->n_shifts++].minutes = minutes;
        }
        check->shifts[i].n++;
        return 0;
}

static json_t *check_answer(const Check *check) {
        json_t *kinds = json_object(), *shifts = json_array(), *answer;
        char day[CLOCK_TEXT_SIZE];

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                if (check->n_kinds[kind] > 0)
                        (void) json_object_set_new(kinds, record_kind_name(kind), json_integer((json_int_t) check->n_kinds[kind]));
        for (size_t i = 0; i < check->n_shifts; i++)
                (void) json_array_append_new(shifts, json_pack("{s:I, s:I}", "minutes", (json_int_t) check->shifts[i].minutes, "records", (json_int_t) check->shifts[i].n));
        answer = json_pack("{s:I, s:I, s:o, s:o, s:I, s:I}", "records", (json_int_t) check->n_records, "moved", (json_int_t) check->n_moved, "kinds", kinds, "shifts", shifts,
                           "ambiguous", (json_int_t) check->n_ambiguous, "skipped", (json_int_t) check->n_skipped);
        if (answer && check->n_moved > 0) {
                clock_format_day(day, (int32_t) (check->first_local_ms / POLICY_DAY_MS));
                (void) json_object_set_new(answer, "firstDay", json_string(day));
                clock_format_day(day, (int32_t) (check->last_local_ms / POLICY_DAY_MS));
                (void) json_object_set_new(answer, "lastDay", json_string(day));
        }
        return answer;
}

static int on_checking(sd_event_source *source, void *userdata) {
        static const RecordsQuery all = { RECORD_ALL_KINDS, INT64_MIN, INT64_MAX };
        Check *check = userdata;
        Call *call = check->call;
        json_t *answer;
        int r;

        (void) source;
        r = records_read(check->manager->wallet->records, &all, &check->cursor, CHECK_ROWS_MAX, check_record, check);
        if (r != 0) {
                (void) check_free(check);
                (void) call_failed(call, fold(r));
                return 0;
        }
        if (!check->cursor.ended)
                return 0;
        answer = check_answer(check);
        (void) check_free(check);
        (void) call_reply(call, answer);
        return 0;
}

int method_check_timezone(Call *call, void *userdata) {
        Manager *manager = userdata;
        const char *zone = call_string(call, "timezone");
        char spec[ZONES_SPEC_MAX];
        Check *check;
        int32_t day;
        int r;

        if (!clock_zone_valid(zone))
                return refuse_zone(call, zone);
        if (get_day(call, &day) != 0)
                return 0;
        if (!manager->wallet->zones)
                (void) snprintf(spec, sizeof(spec), "%s", zone);
        else if (compose(spec, manager->wallet->zones, day, zone) < 0)
                return call_refuse(call, "There are too many periods of zones.");

        check = calloc(1, sizeof(*check));
        if (!check)
                return -ENOMEM;
        check->manager = manager;
        r = zones_load(&check->zones, spec);
        if (r == 0)
                r = records_clocks_by(manager->wallet->records, check->zones, &check->clocks);
        if (r == 0)
                r = sd_event_add_defer(manager->event, &check->source, on_checking, check);
        if (r >= 0 && check->source)
                r = sd_event_source_set_priority(check->source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0 && check->source)
                r = sd_event_source_set_enabled(check->source, SD_EVENT_ON);
        if (!check->zones || r < 0) {
                (void) check_free(check);
                return r > 0 ? refuse_zone(call, zone) : r;
        }
        check->call = call;
        call->gone = on_check_gone;
        call->gone_userdata = check;
        return 0;
}
