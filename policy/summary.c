/* SPDX-License-Identifier: Apache-2.0 */

/* Metrics of sensor glucose, and whether there are enough readings for them to leave. */

#include "policy.h"

enum {
        MMOL_FACTOR_MILLI = 18016, /* mg/dL in one mmol/L: 180.16 g/mol of glucose, IUPAC atomic weights */
        READINGS_MAX = 100000000,  /* a reading a minute for 190 years; keeps the sum far from its end */
};

/* Upper ends of all bands but the last, thousandths; Battelino 2019, doi:10.2337/dci19-0028. */
static const int32_t below_mgdl[] = { 54000, 70000, 180001, 250001 };
static const int32_t below_mmol[] = { 3000, 3900, 10001, 13901 };

PolicyBand policy_band(int32_t value_milli, unsigned unit) {
        const int32_t *below = unit == RECORD_UNIT_MMOL_L ? below_mmol : below_mgdl;

        for (PolicyBand band = POLICY_BAND_VERY_LOW; band != POLICY_BAND_VERY_HIGH; band++) {
                if (value_milli < below[band])
                        return band;
        }

        return POLICY_BAND_VERY_HIGH;
}

void policy_summary_init(PolicySummary *summary, const PolicyEffective *effective) {
        *summary = (PolicySummary) {
                .from_day = (int32_t) (effective->from_local_ms / POLICY_DAY_MS),
                .to_day = (int32_t) (effective->to_local_ms / POLICY_DAY_MS) - 1,
                .last_day = INT32_MIN,
        };
}

static int64_t mgdl_from_mmol(int32_t value_milli) {
        return ((int64_t) value_milli * MMOL_FACTOR_MILLI + 500) / 1000;
}

void policy_summary_add(PolicySummary *summary, const Record *redacted) {
        int32_t day = (int32_t) (redacted->local_ms / POLICY_DAY_MS);
        bool is_mmol = redacted->unit == RECORD_UNIT_MMOL_L;
        PolicyBand band;

        if (redacted->kind != RECORD_CGM || summary->n_readings == READINGS_MAX || summary->n_codes == READINGS_MAX)
                return;

        if (redacted->flags & RECORD_CODE_LOW) {
                band = POLICY_BAND_VERY_LOW;
                summary->n_codes++;
        } else if (redacted->flags & RECORD_CODE_HIGH) {
                band = POLICY_BAND_VERY_HIGH;
                summary->n_codes++;
        } else if (redacted->value_milli > 0) { /* 0 is a code for "nothing", never a number */
                band = policy_band(redacted->value_milli, redacted->unit);
                summary->sum_milli_mgdl += is_mmol ? mgdl_from_mmol(redacted->value_milli) : redacted->value_milli;
                summary->n_readings++;
                summary->n_mmol += is_mmol;
        } else
                return;

        summary->band[band]++;
        summary->is_mmol = summary->n_mmol > summary->n_readings - summary->n_mmol;
        if (day != summary->last_day) {
                summary->last_day = day;
                summary->n_days++;
        }
}

bool policy_summary_permitted(const PolicySummary *summary) {
        return summary->n_days >= POLICY_SUMMARY_DAYS_MIN && summary->n_readings >= POLICY_SUMMARY_READINGS_MIN;
}

int64_t policy_summary_mean_milli(const PolicySummary *summary) {
        int64_t n = summary->n_readings;

        if (n == 0)
                return 0;
        if (!summary->is_mmol)
                return (2 * summary->sum_milli_mgdl + n) / (2 * n);

        /* in two steps, as a thousand times the sum might not fit */
        n *= MMOL_FACTOR_MILLI;
        return summary->sum_milli_mgdl / n * 1000 + (2000 * (summary->sum_milli_mgdl % n) + n) / (2 * n);
}
