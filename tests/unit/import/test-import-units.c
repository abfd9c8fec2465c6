/* SPDX-License-Identifier: Apache-2.0 */

/* Units of carbs, insulin and estimates: those that are known are read, any other is refused, never taken for one. */

#include "collect.h"

static void refused(const char *text, size_t n, const char *because) {
        Imported i;

        import_bytes(&i, text, n);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        if (!strstr(i.refusal, because))
                fail_msg("\"%s\" does not say \"%s\"", i.refusal, because);
        imported_done(&i);
}

#define REFUSED(text, because) refused(text, sizeof(text) - 1, because)

/* A row of an estimate with 3 of something, in two columns of the given names. */
static size_t estimate(char ret[static 512], const char *carbs, const char *ratio) {
        return (size_t) snprintf(ret, 512, "Index;Date;Time;BWZ Estimate (U);%s;%s\n0;2025/05/03;10:00:00;1,5;3;0,5\n", carbs, ratio);
}

static void carbs_of_an_unknown_unit_are_refused_never_grams(void **state) {
        static const char *const bad[] = { "BWZ Carb Input (units)", "BWZ Carb Input (BE)", "BWZ Carb Input (portions)", "BWZ Carb Input", "BWZ Carb Input ()" };
        static const struct {
                const char *name;
                unsigned unit;
        } good[] = {
                { "BWZ Carb Input (grams)", RECORD_UNIT_GRAM }, { "BWZ Carb Input (G)", RECORD_UNIT_GRAM }, { "BWZ Carb Input (Gramm)", RECORD_UNIT_GRAM },
                { "BWZ Carb Input (Exchanges)", RECORD_UNIT_EXCHANGE }, { "BWZ Carb Input (EX)", RECORD_UNIT_EXCHANGE },
                { "BWZ Carb Input ( exchange )", RECORD_UNIT_EXCHANGE },
        };
        char text[512];
        Imported i;

        (void) state;
        for (size_t n = 0; n != N_ELEMENTS(bad); n++) {
                size_t n_text = estimate(text, bad[n], "BWZ Carb Ratio (g/U)");

                refused(text, n_text, bad[n]);
                refused(text, n_text, "grams or exchanges");
        }
        for (size_t n = 0; n != N_ELEMENTS(good); n++) {
                bool is_gram = good[n].unit == RECORD_UNIT_GRAM;

                (void) estimate(text, good[n].name, "BWZ Carb Ratio (g/U)");
                import_text(&i, text);
                assert_int_equal(i.r, 0);
                assert_int_equal(i.n, 2);
                assert_value(got_at(&i, 2, true), RECORD_CARBS, good[n].unit, 3000);
                assert_number(got_at(&i, 2, false), FIELD_CARB_UNIT, is_gram ? TOKEN_GRAM : TOKEN_EXCHANGE);
                /* a ratio per gram is none per exchange */
                if (is_gram)
                        assert_number(got_at(&i, 2, false), FIELD_CARB_RATIO, 500);
                else
                        assert_text(got_at(&i, 2, false), FIELD_EXTRA, "BWZ Carb Ratio (g/U)=0.5");
                imported_done(&i);
        }
}

static void insulin_of_another_unit_is_refused(void **state) {
        (void) state;
        REFUSED("Index;Date;Time;Basal Rate (U/day)\n0;2025/05/03;10:00:00;24\n", "Column \"Basal Rate (U/day)\" in line 1");
        REFUSED("Index;Date;Time;Basal Rate (U)\n0;2025/05/03;10:00:00;24\n", "U/h is needed");
        REFUSED("Index;Date;Time;Bolus Volume Delivered (mL)\n0;2025/05/03;10:00:00;2\n", "Column \"Bolus Volume Delivered (mL)\" in line 1");
        REFUSED("Index;Date;Time;BWZ Active Insulin (U/h)\n0;2025/05/03;10:00:00;2\n", "U is needed");
}

static void the_glucose_units_of_an_estimate_must_agree(void **state) {
        static const char mixed[] = "Index;Date;Time;BWZ Estimate (U);BWZ Target Low BG (mmol/L);BWZ Insulin Sensitivity (mg/dL/U)\n0;2025/05/03;10:00:00;1,5;5,5;40\n";
        Imported i;

        (void) state;
        REFUSED(mixed, "Column \"BWZ Insulin Sensitivity (mg/dL/U)\" in line 1 contradicts");
        import_text(&i, "Index;Date;Time;BWZ Estimate (U);BWZ Target Low BG (mmol/L);BWZ Insulin Sensitivity (mmol/L/U)\n0;2025/05/03;10:00:00;1,5;5,5;2,2\n");
        assert_int_equal(i.r, 0);
        assert_number(got_at(&i, 2, false), FIELD_GLUCOSE_UNIT, TOKEN_MMOL_L);
        imported_done(&i);
}

static void a_marker_in_an_unknown_unit_is_text_only(void **state) {
        static const struct {
                const char *marker;
                unsigned unit; /* NONE: text only */
        } markers[] = {
                { "Meal: 2,00grams", RECORD_UNIT_GRAM }, { "Meal: 2,00 g", RECORD_UNIT_GRAM }, { "Meal: 2,00 exchanges", RECORD_UNIT_EXCHANGE },
                { "Meal: 2.00Exch", RECORD_UNIT_EXCHANGE }, { "Meal: 2,00exchanges", RECORD_UNIT_EXCHANGE }, { "Meal: 2,0BE", RECORD_UNIT_NONE },
                { "Meal: 2,0", RECORD_UNIT_NONE }, { "Meal: 2,0 U", RECORD_UNIT_NONE }, { "Insulin: 2,00", RECORD_UNIT_INSULIN },
                { "Insulin: 2,00 U", RECORD_UNIT_INSULIN }, { "Insulin: 2,00 mL", RECORD_UNIT_NONE },
        };
        char text[512];
        Imported i;

        (void) state;
        for (size_t n = 0; n != N_ELEMENTS(markers); n++) {
                (void) snprintf(text, sizeof(text), HEAD "0;2025/05/03;10:00:00;;;;;;;%s\n", markers[n].marker);
                import_text(&i, text);
                assert_int_equal(i.r, 0);
                assert_int_equal(i.n_rejected, 0);
                assert_int_equal(i.n, markers[n].unit == RECORD_UNIT_NONE ? 1 : 2);
                assert_int_equal(i.records[0].record.kind, RECORD_NOTE);
                if (markers[n].unit == RECORD_UNIT_NONE)
                        assert_int_equal(i.records[0].record.flags, 0);
                else
                        assert_value(got_at(&i, 3, true), markers[n].unit == RECORD_UNIT_INSULIN ? RECORD_BOLUS : RECORD_CARBS, markers[n].unit, 2000);
                imported_done(&i);
        }
}

/* A legacy file of one row, and one more that is always good. */
static void legacy_row(Imported *i, const char *type, const char *raw) {
        char text[1024];

        (void) snprintf(text, sizeof(text),
                        "Index,Date,Time,Raw-Type,Raw-Values,Raw-ID,Raw-Upload ID,Raw-Seq Num,Raw-Device Type\n"
                        "1,5/22/15,08:21:32,%s,\"%s\",1,2,3,Paradigm Revel - 723\n2,5/22/15,08:20:00,Rewind,,4,2,5,Paradigm Revel - 723\n", type, raw);
        import_text(i, text);
        if (i->r)
                fail_msg("%s", i->refusal);
}

static void a_legacy_row_in_an_unknown_unit_is_rejected(void **state) {
        Imported i;

        (void) state;
        legacy_row(&i, "JournalEntryMealMarker", "CARB_INPUT=3, CARB_UNITS=Exchanges, ACTION_REQUESTOR=pump");
        assert_value(got_at(&i, 2, false), RECORD_CARBS, RECORD_UNIT_EXCHANGE, 3000);
        imported_done(&i);
        legacy_row(&i, "BolusWizardBolusEstimate", "CARB_INPUT=3, CARB_UNITS=Exchanges, BOLUS_ESTIMATE=2");
        assert_value(got_at(&i, 2, true), RECORD_CARBS, RECORD_UNIT_EXCHANGE, 3000);
        assert_number(got_at(&i, 2, false), FIELD_CARB_UNIT, TOKEN_EXCHANGE);
        imported_done(&i);

        legacy_row(&i, "JournalEntryMealMarker", "CARB_INPUT=3, CARB_UNITS=BE");
        assert_int_equal(i.n, 1);
        assert_string_equal(i.reason, "column Raw-Values: CARB_UNITS is neither grams nor exchanges");
        imported_done(&i);
        legacy_row(&i, "BolusWizardBolusEstimate", "CARB_INPUT=3, BOLUS_ESTIMATE=2");
        assert_int_equal(i.n, 1);
        assert_int_equal(i.n_rejected, 1);
        imported_done(&i);
        legacy_row(&i, "BolusWizardBolusEstimate", "BG_INPUT=120, BG_UNITS=unset, BOLUS_ESTIMATE=2");
        assert_int_equal(i.n, 1);
        assert_string_equal(i.reason, "column Raw-Values: BG_UNITS is neither mg/dL nor mmol/L");
        imported_done(&i);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(carbs_of_an_unknown_unit_are_refused_never_grams),
                cmocka_unit_test(insulin_of_another_unit_is_refused),
                cmocka_unit_test(the_glucose_units_of_an_estimate_must_agree),
                cmocka_unit_test(a_marker_in_an_unknown_unit_is_text_only),
                cmocka_unit_test(a_legacy_row_in_an_unknown_unit_is_rejected),
        };

        return cmocka_run_group_tests(tests, berlin, NULL);
}
