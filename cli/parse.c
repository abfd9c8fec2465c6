/* SPDX-License-Identifier: Apache-2.0 */

#include "parse.h"

#include "policy/record.h"

enum {
        DAY_S = 86400,
        NAME_MAX_BYTES = 63, /* daemon/core/consent.h, CONSENT_NAME_MAX */
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Digits at the start of @text. @ret_end: what follows. */
static int digits(const char *text, int64_t *ret, const char **ret_end) {
        int64_t number = 0;

        if (!is_digit(*text))
                return PARSE_E_SYNTAX;
        for (; is_digit(*text); text++)
                if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *text - '0', &number))
                        return PARSE_E_RANGE;
        *ret = number;
        *ret_end = text;
        return 0;
}

int parse_duration(const char *text, int64_t *ret_s) {
        static const struct {
                const char *unit;
                int64_t s;
        } units[] = {{"min", 60}, {"h", 3600}, {"d", DAY_S}, {"w", 7 * DAY_S}, {"y", 365 * DAY_S}};
        const char *end;
        int64_t n;
        int r;

        r = digits(text, &n, &end);
        if (r > 0)
                return r;
        for (size_t i = 0; i < N_ELEMENTS(units); i++) {
                if (strcmp(end, units[i].unit) != 0)
                        continue;
                if (n == 0 || __builtin_mul_overflow(n, units[i].s, &n))
                        return PARSE_E_RANGE;
                *ret_s = n;
                return 0;
        }
        return PARSE_E_SYNTAX;
}

int parse_days(const char *text, int64_t *ret_days) {
        int64_t s;
        int r;

        r = parse_duration(text, &s);
        if (r > 0)
                return r;
        if (s % DAY_S != 0)
                return PARSE_E_SYNTAX;
        *ret_days = s / DAY_S;
        return 0;
}

int parse_day(const char *text) {
        static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        int year, month, day, n_days;

        for (size_t i = 0; i < PARSE_DAY_SIZE - 1; i++)
                if (i == 4 || i == 7 ? text[i] != '-' : !is_digit(text[i]))
                        return PARSE_E_SYNTAX;
        if (text[PARSE_DAY_SIZE - 1] != '\0')
                return PARSE_E_SYNTAX;

        year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0';
        month = (text[5] - '0') * 10 + text[6] - '0';
        day = (text[8] - '0') * 10 + text[9] - '0';
        if (year < 1900 || year > 2199 || month < 1 || month > 12)
                return PARSE_E_RANGE;
        n_days = days[month - 1];
        if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
                n_days++;
        return day >= 1 && day <= n_days ? 0 : PARSE_E_RANGE;
}

int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret) {
        const char *end;
        int64_t n;
        int r;

        r = digits(text, &n, &end);
        if (r > 0)
                return r;
        if (*end != '\0')
                return PARSE_E_SYNTAX;
        if (n < min || n > max)
                return PARSE_E_RANGE;
        *ret = n;
        return 0;
}

int parse_name(const char *text) {
        size_t n = strlen(text);

        if (n == 0 || text[0] == '.' || text[0] == '_' || text[0] == '-')
                return PARSE_E_SYNTAX;
        for (size_t i = 0; i < n; i++)
                if (!is_digit(text[i]) && !(text[i] >= 'a' && text[i] <= 'z') && !strchr("._-", text[i]))
                        return PARSE_E_SYNTAX;
        return n <= NAME_MAX_BYTES ? 0 : PARSE_E_RANGE;
}

int parse_kinds(const char *text, uint32_t *ret, const char **ret_bad, size_t *ret_n_bad) {
        uint32_t kinds = 0;

        for (;;) {
                size_t n = strcspn(text, ",");
                unsigned kind = record_kind_from_name(text, n);

                if (kind == 0) {
                        *ret_bad = text;
                        *ret_n_bad = n;
                        return PARSE_E_SYNTAX;
                }
                kinds |= RECORD_KIND_BIT(kind);
                if (text[n] == '\0')
                        break;
                text += n + 1;
        }
        *ret = kinds;
        return 0;
}
