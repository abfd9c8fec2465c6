/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A device's wall clock to UTC: the IANA zone that the wallet is in, and since which day. Read once into tables, so that
 * nothing opens a zone's file later, many zones can be asked side by side and the process's own zone is not touched.
 */

#include "daemon/common/util.h"
#include "policy/record.h"

enum {
        ZONES_NAME_MAX = 64,   /* bytes of an IANA name, terminator included */
        ZONES_SPEC_MAX = 1024, /* bytes, terminator included */
        ZONES_MAX = 32,        /* periods */

        ZONES_E_SPEC = 1, /* not written as below, or not in the order of time */
        ZONES_E_UNKNOWN,  /* no such zone on this machine, or not the name of one */
};

/* Which of two runs of a repeated hour a time belongs to, as far as the order of rows tells. */
typedef enum ZonePass {
        ZONE_UNKNOWN,
        ZONE_FIRST,
        ZONE_SECOND,
} ZonePass;

typedef struct ZoneTime {
        int64_t utc_ms;
        int16_t offset_min;
        uint8_t clock; /* RecordClock: ZONE, REPEATED, AMBIGUOUS or SKIPPED */
} ZoneTime;

typedef struct Zones Zones;

/**
 * zones_load() - read a specification and its zones
 * @spec: "Europe/Berlin", or with the days on which a device's clock began to show another zone, in their order:
 *        "Europe/Berlin;2024-05-01=America/New_York;2024-06-01=Europe/Berlin"
 *
 * Takes about 5 ms a zone. Sets TZ while it reads and puts it back. Return: 0; ZONES_E_SPEC, ZONES_E_UNKNOWN; negative errno.
 */
must_check int zones_load(Zones **ret, const char *spec);
Zones *zones_free(Zones *zones);
DEFINE_CLEANUP(Zones *, zones_free)

/** zones_resolve() - @local_ms within record.h's valid times; quick when asked in the order of time */
ZoneTime zones_resolve(Zones *zones, int64_t local_ms, ZonePass pass);
/** zones_repeat() - whether the zone shows this wall-clock time twice */
bool zones_repeat(Zones *zones, int64_t local_ms);
/** zones_place() - a record's UTC time, offset and clock from its local time and its flags; a clock that was not set stays so. Where clocks that were set are known: clocks.h */
void zones_place(Zones *zones, Record *record);

/* A change of a zone's hour. */
typedef struct ZoneChange {
        int64_t from_ms;    /* wall clock: the earlier of the two that it shows at that moment */
        int64_t step_ms;    /* 1 h where summer time begins */
        int16_t before_min; /* the offset before */
} ZoneChange;

/** zones_last_change() - the one before a wall-clock time, of the zone that holds then; false: there is none since that zone holds */
bool zones_last_change(Zones *zones, int64_t local_ms, ZoneChange *ret);

/* Periods, in the order of time; the first has no day. */
size_t zones_n(const Zones *zones);
/** zones_at() - borrowed name; @ret_day: days since 1970-01-01, INT32_MIN for the first */
const char *zones_at(const Zones *zones, size_t i, int32_t *ret_day);
/** zones_step() - by how much a wall clock goes forward where period @i begins, in ms; @ret_ms: that midnight */
int64_t zones_step(Zones *zones, size_t i, int64_t *ret_ms);
/** zones_name() - of the period that a local time is in; borrowed */
const char *zones_name(Zones *zones, int64_t local_ms);
