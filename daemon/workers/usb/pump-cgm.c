/* SPDX-License-Identifier: Apache-2.0 */

/* Sensor events as the wallet's records, named as CareLink names them: see pump-history.c for what that is good for. */

#include "pump-private.h"

static void set_text(Draft *draft, FieldId id, const char *text) {
        if (text)
                (void) draft_text(draft, id, (Cell) { text, strlen(text) });
}

static void set_isig(Draft *draft, const ParadigmCgmEvent *e) {
        if (e->has_isig)
                (void) draft_milli(draft, FIELD_ISIG, e->isig_centi * 10);
}

static Draft *reading(Pump *pump, const ParadigmCgmEvent *e) {
        Draft *draft = pump_draft(pump, RECORD_CGM);
        bool is_low = e->type == PARADIGM_CGM_LOW, is_high = e->type == PARADIGM_CGM_HIGH;

        draft->unit = RECORD_UNIT_MG_DL;
        if (is_low || is_high)
                draft->flags = is_low ? RECORD_CODE_LOW : RECORD_CODE_HIGH;
        else if (e->number)
                draft_value(draft, RECORD_UNIT_MG_DL, pump_number(e->number * 1000));
        set_isig(draft, e);
        set_text(draft, FIELD_RAW_TYPE, is_low ? "GlucoseSensorDataLow" : is_high ? "GlucoseSensorDataHigh" : "GlucoseSensorData");
        return draft;
}

static Draft *calibration(Pump *pump, const ParadigmCgmEvent *e) {
        Draft *draft = pump_draft(pump, RECORD_CALIBRATION);

        draft->unit = RECORD_UNIT_MG_DL;
        if (e->number)
                draft_value(draft, RECORD_UNIT_MG_DL, pump_number(e->number * 1000));
        set_text(draft, FIELD_RAW_TYPE, "CalBGForGH");
        return draft;
}

static Draft *event(Pump *pump, const char *name, TokenId type, Cell values) {
        Draft *draft = pump_draft(pump, RECORD_DEVICE_EVENT);

        (void) draft_token(draft, FIELD_TYPE, type);
        (void) draft_text(draft, FIELD_TEXT_DEVICE, values);
        set_text(draft, FIELD_RAW_TYPE, name);
        draft_key(draft, name, strlen(name));
        draft_key(draft, values.text, values.n);
        return draft;
}

/* pump_draft() forgets texts, so values are made on the caller's stack. */
static Draft *with_isig(Pump *pump, const ParadigmCgmEvent *e, const char *name, const char *what, char *text, size_t n_text) {
        char isig[16];
        int n;

        pump_amount(isig, e->isig_centi * 10u);
        n = e->has_isig ? snprintf(text, n_text, "%s, ISIG=%s", what, isig) : snprintf(text, n_text, "%s", what);
        return event(pump, name, TOKEN_SENSOR, (Cell) { text, (size_t) n });
}

static Draft *draft_of(Pump *pump, const ParadigmCgmEvent *e, char *text, size_t n_text) {
        static const char *const cal[] = { "CAL_TYPE=meter_bg_now", "CAL_TYPE=waiting", "CAL_TYPE=cal_error", "CAL_TYPE=discard" };
        static const char *const stamps[] = { "TIMESTAMP_TYPE=last_rf", "TIMESTAMP_TYPE=page_end", "TIMESTAMP_TYPE=gap" };
        static const char *const status[] = { "STATUS_TYPE=off", "STATUS_TYPE=on", "STATUS_TYPE=lost" };
        static const char *const sync[] = { "SYNC_TYPE=resync", "SYNC_TYPE=new", "SYNC_TYPE=old", "SYNC_TYPE=find" };
        char amount[16];
        int n;

        switch ((ParadigmCgmType) e->type) {
        case PARADIGM_CGM_GLUCOSE:
        case PARADIGM_CGM_LOW:
        case PARADIGM_CGM_HIGH:
                return reading(pump, e);
        case PARADIGM_CGM_CALIBRATION:
                return calibration(pump, e);
        case PARADIGM_CGM_SENSOR_CAL:
                return with_isig(pump, e, "SensorCal", e->detail < N_ELEMENTS(cal) ? cal[e->detail] : "CAL_TYPE=?", text, n_text);
        case PARADIGM_CGM_PACKET:
                return with_isig(pump, e, "SensorPacket", e->detail == 2 ? "PACKET_TYPE=init" : "PACKET_TYPE=?", text, n_text);
        case PARADIGM_CGM_ERROR:
                return event(pump, "SensorError", TOKEN_SENSOR, e->detail == 1 ? (Cell) { "ERROR_TYPE=end", 14 } : (Cell) { "ERROR_TYPE=?", 12 });
        case PARADIGM_CGM_WEAK_SIGNAL:
                return event(pump, "SensorWeakSignal", TOKEN_SENSOR, (Cell) { "", 0 });
        case PARADIGM_CGM_TIMESTAMP:
                return event(pump, "SensorTimestamp", TOKEN_SENSOR, e->detail < N_ELEMENTS(stamps) ? (Cell) { stamps[e->detail], strlen(stamps[e->detail]) } : (Cell) { "TIMESTAMP_TYPE=?", 16 });
        case PARADIGM_CGM_STATUS:
                return event(pump, "SensorStatus", TOKEN_SENSOR, e->detail < N_ELEMENTS(status) ? (Cell) { status[e->detail], strlen(status[e->detail]) } : (Cell) { "STATUS_TYPE=?", 13 });
        case PARADIGM_CGM_SYNC:
                return event(pump, "SensorSync", TOKEN_SENSOR, (Cell) { sync[e->detail], strlen(sync[e->detail]) });
        case PARADIGM_CGM_CAL_FACTOR:
                pump_amount(amount, e->number);
                n = snprintf(text, n_text, "CAL_FACTOR=%s", amount);
                return event(pump, "SensorCalFactor", TOKEN_SENSOR, (Cell) { text, (size_t) n });
        case PARADIGM_CGM_SPECIAL:
                return event(pump, "sensor display event", TOKEN_SENSOR, (Cell) { "", 0 });
        case PARADIGM_CGM_BATTERY:     /* these two are in the history too, with what they changed */
        case PARADIGM_CGM_TIME_CHANGE:
        case PARADIGM_CGM_DATA_END:
        case PARADIGM_CGM_FILLER:
        default:
                return NULL;
        }
}

int pump_map_cgm(Pump *pump, unsigned number, const ParadigmCgm *cgm, const uint8_t page[static PARADIGM_PAGE_SIZE]) {
        size_t n_untimed = 0, n_even = 0;
        char text[64];
        int r = 0;

        for (size_t i = 0; i != cgm->n_events && r == 0; i++) {
                const ParadigmCgmEvent *e = &cgm->events[i];
                const Draft *draft;

                if (!e->has_time) {
                        n_untimed += e->is_relative;
                        continue;
                }
                n_even += e->is_even;
                draft = draft_of(pump, e, text, sizeof(text));
                pump_set_raw(pump, page + e->at + 1 - e->n, e->n);
                if (draft)
                        r = pump_put(pump, draft, e->local_ms, number, false);
        }

        if (r == 0 && n_untimed)
                r = pump_reject(pump, number, page, PARADIGM_PAGE_SIZE,
                                "glucose page %u: %zu readings have no time yet: the pump writes it later; read it again tomorrow", number, n_untimed);
        if (r == 0 && n_even)
                r = pump_note(pump, "Glucose page %u came without its page of sensor currents, where the last bit of a reading is: each of its %zu readings may be 1 mg/dL more.",
                              number, n_even);
        if (r == 0 && cgm->n_unread)
                r = pump_reject(pump, number, page, cgm->n_unread,
                                "glucose page %u: event type %02x is not known or damaged; %zu older bytes were not read", number, cgm->unread_op, cgm->n_unread);
        return r;
}
