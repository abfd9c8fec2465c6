/* SPDX-License-Identifier: Apache-2.0 */

#include "clock.h"

#include <ctype.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>

#define ZONEINFO "/usr/share/zoneinfo/"

bool clock_zone_valid(const char *zone) {
        char path[sizeof(ZONEINFO) + CLOCK_ZONE_MAX];
        struct stat st;
        size_t n = strlen(zone);

        if (n == 0 || n >= CLOCK_ZONE_MAX || zone[0] == '/' || strstr(zone, ".."))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) zone[i]) && !strchr("_+-/", zone[i]))
                        return false;
        (void) snprintf(path, sizeof(path), ZONEINFO "%s", zone);
        return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int clock_set_zone(const char *zone) {
        char value[CLOCK_ZONE_MAX + 1];

        if (!clock_zone_valid(zone))
                return CLOCK_E_ZONE;
        (void) snprintf(value, sizeof(value), ":%s", zone);
        if (setenv("TZ", value, 1) < 0)
                return -errno;
        tzset();
        return 0;
}

void clock_system_zone(char ret[static CLOCK_ZONE_MAX]) {
        char target[PATH_MAX];
        ssize_t n = readlink("/etc/localtime", target, sizeof(target) - 1);
        const char *zone;

        (void) snprintf(ret, CLOCK_ZONE_MAX, "UTC");
        if (n < 0)
                return;
        target[n] = '\0';
        zone = strstr(target, "zoneinfo/");
        if (zone && clock_zone_valid(zone + strlen("zoneinfo/")))
                (void) snprintf(ret, CLOCK_ZONE_MAX, "%s", zone + strlen("zoneinfo/"));
}

static int64_t offset_s(int64_t utc_s) {
        time_t t = (time_t) utc_s;
        struct tm tm;

        return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

PolicyNow clock_now(int64_t highest_s) {
        struct timespec ts;
        PolicyNow now;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        now.utc_ms = (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
        now.local_ms = now.utc_ms + offset_s(ts.tv_sec) * 1000;
        now.clock_behind = ts.tv_sec < highest_s;
        return now;
}

uint64_t clock_monotonic_ms(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

int32_t clock_local_day(int64_t utc_s) {
        int64_t local_s = utc_s + offset_s(utc_s);

        return (int32_t) (local_s >= 0 ? local_s / 86400 : -((-local_s + 86399) / 86400));
}

void clock_format_utc(char ret[static CLOCK_TEXT_SIZE], int64_t utc_s) {
        time_t t = (time_t) utc_s;
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(ret, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                (void) snprintf(ret, CLOCK_TEXT_SIZE, "1970-01-01T00:00:00Z");
}

void clock_format_local(char ret[static CLOCK_TEXT_SIZE], int64_t utc_s) {
        time_t t = (time_t) utc_s;
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(ret, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M %Z", &tm) == 0)
                clock_format_utc(ret, utc_s);
}

void clock_format_day(char ret[static CLOCK_TEXT_SIZE], int32_t day) {
        clock_format_utc(ret, (int64_t) day * 86400);
        ret[10] = '\0';
}

int clock_parse_day(int32_t *ret, const char *text) {
        char again[CLOCK_TEXT_SIZE];
        struct tm tm = { 0 };
        int64_t day;

        if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
                return CLOCK_E_TEXT;
        for (size_t i = 0; i < 10; i++)
                if (i != 4 && i != 7 && !isdigit((unsigned char) text[i]))
                        return CLOCK_E_TEXT;
        tm.tm_year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0') - 1900;
        tm.tm_mon = (text[5] - '0') * 10 + (text[6] - '0') - 1;
        tm.tm_mday = (text[8] - '0') * 10 + (text[9] - '0');
        if (tm.tm_year < 70 || tm.tm_year >= 300)
                return CLOCK_E_TEXT;
        day = timegm(&tm) / 86400;
        clock_format_day(again, (int32_t) day); /* 02-30 becomes 03-02: not what was written */
        if (memcmp(again, text, 10) != 0)
                return CLOCK_E_TEXT;
        *ret = (int32_t) day;
        return 0;
}
