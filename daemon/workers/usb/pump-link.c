/* SPDX-License-Identifier: Apache-2.0 */

#include "pump-link.h"

enum {
        SIGNAL_TRIES = 20,
        SIGNAL_WAIT_MS = 500,
};

#define SAME(name) ((int) PUMP_LINK_##name == (int) CONTOUR_NEXT_LINK_##name)
static_assert(SAME(E_FORBIDDEN) && SAME(E_SILENT) && SAME(E_OTHER) && SAME(E_NO_PUMP) && SAME(E_REFUSED) && SAME(E_GARBLED) && SAME(E_FOREIGN) && SAME(REPLY),
              "one way is as the other");

static int wake(PumpLink *link) {
        const Transport *t = link->stick.transport;
        uint8_t reply[PUMP_LINK_REPLY];
        unsigned signal = 0;
        int r;

        for (unsigned i = 0; i != SIGNAL_TRIES; i++) {
                r = carelink_stick_signal(&link->stick, &signal);
                if (r)
                        return r;
                if (signal >= CARELINK_STICK_SIGNAL_MIN)
                        break;
                r = t->wait(t->userdata, SIGNAL_WAIT_MS);
                if (r)
                        return r;
        }

        /* one that is awake answers at once */
        r = carelink_stick_ask(&link->stick, CARELINK_MODEL, 1, reply);
        link->is_begun = true;
        if (r == 0 || r < 0 || r == CARELINK_STICK_E_SILENT || r == CARELINK_STICK_E_FOREIGN)
                return r;
        /* an answer that was lost is no reason to stop: the next question tells whether the pump is awake */
        r = carelink_stick_wake(&link->stick);
        return r < 0 ? r : 0;
}

int pump_link_open(PumpLink *link, PumpLinkKind kind, const Transport *transport, const char *serial) {
        uint8_t packed[3];
        int r;

        *link = (PumpLink) { .kind = kind };
        if (!carelink_stick_serial(serial, packed))
                return PUMP_LINK_E_FORBIDDEN;
        if (kind == PUMP_LINK_METER) {
                link->is_begun = true;
                return contour_next_link_open(&link->meter, transport, serial);
        }
        r = carelink_stick_open(&link->stick, transport, packed);
        return r ? r : wake(link);
}

int pump_link_close(PumpLink *link) {
        if (!link->is_begun)
                return 0;
        return link->kind == PUMP_LINK_METER ? contour_next_link_close(&link->meter) : carelink_stick_sleep(&link->stick);
}

/*
 * A pump listens for ten minutes, and one that was awake already for less. All pages with all their currents take six, and
 * longer where they are asked for again. True when the question is worth another try; *r is what is wrong with the waking.
 */
static bool has_woken_again(PumpLink *link, int *r) {
        int woken;

        if (*r == 0)
                link->may_wake = true;
        if (*r != PUMP_LINK_E_NO_PUMP || !link->may_wake)
                return false;
        link->may_wake = false;
        woken = carelink_stick_wake(&link->stick);
        if (woken < 0)
                *r = woken;
        return woken == 0;
}

int pump_link_ask(PumpLink *link, CarelinkOpcode opcode, uint8_t ret[static PUMP_LINK_REPLY]) {
        int r;

        if (link->kind == PUMP_LINK_METER)
                return contour_next_link_ask(&link->meter, opcode, ret);
        do
                r = carelink_stick_ask(&link->stick, opcode, 3, ret);
        while (has_woken_again(link, &r));
        return r;
}

int pump_link_page(PumpLink *link, CarelinkOpcode opcode, uint32_t number, uint8_t *page, size_t n_page,
                   int (*check)(const uint8_t *page, size_t n), size_t *ret_n) {
        *ret_n = 0;
        if (link->kind == PUMP_LINK_STICK) {
                int r;

                do
                        r = carelink_stick_page(&link->stick, opcode, number, page, n_page, check, ret_n);
                while (has_woken_again(link, &r));
                return r;
        }
        if (opcode != CARELINK_HISTORY_PAGE && opcode != CARELINK_GLUCOSE_PAGE && opcode != CARELINK_ISIG_PAGE)
                return PUMP_LINK_E_FORBIDDEN;
        return contour_next_link_page(&link->meter, opcode, number, page, n_page, check, ret_n);
}

bool pump_link_has_no_page(const PumpLink *link) {
        unsigned refusal = link->kind == PUMP_LINK_METER ? link->meter.refusal : link->stick.refusal;

        return refusal == PUMP_LINK_REFUSED || refusal == PUMP_LINK_NO_SUCH_PAGE;
}

const char *pump_link_words(const PumpLink *link, int r) {
        bool is_meter = link->kind == PUMP_LINK_METER;

        switch (r) {
        case -ENODEV:
                return is_meter ? "The meter was unplugged." : "The CareLink USB stick was unplugged.";
        case -ECANCELED:
        case -ETIMEDOUT: /* only after it */
                return "Stopped, as you asked.";
        case PUMP_LINK_E_SILENT:
                return is_meter ? "The meter does not answer. Unplug it, plug it in again, and try once more."
                                : "The CareLink USB stick does not answer. Unplug it, plug it in again, and try once more.";
        case PUMP_LINK_E_OTHER:
                return is_meter ? "This device does not answer as a Contour Next Link does. Unplug it, plug it in again, and try once more."
                                : "This device is not a CareLink USB stick that carewallet knows.";
        case PUMP_LINK_E_NO_PUMP:
                if (is_meter)
                        return "The pump does not answer the meter. Hold the meter within a hand's breadth of the pump, check the serial number, and that the "
                               "pump is linked with this meter.";
                return link->stick.is_worldwide ? "The pump does not answer. Hold the stick within a hand's breadth of the pump, check the serial number, and try again. "
                                                  "This stick is for pumps outside the USA (868 MHz)."
                                                : "The pump does not answer. Hold the stick within a hand's breadth of the pump, check the serial number, and try again. "
                                                  "This stick is for pumps made for the USA (916 MHz).";
        case PUMP_LINK_E_REFUSED:
                return "The pump refuses to answer. Look at its screen: a bolus that is running or an alarm must be finished first.";
        case PUMP_LINK_E_FOREIGN:
                return "Another pump answers. Check the serial number, and move other pumps away.";
        case PUMP_LINK_E_GARBLED:
                return is_meter ? "What the pump answers arrives damaged. Move away from other radios, hold the meter closer, and try again."
                                : "What the pump answers arrives damaged. Move away from other radios, hold the stick closer, and try again.";
        default:
                return "The USB connection failed.";
        }
}

const char *pump_link_words_open(const PumpLink *link) {
        return link->kind == PUMP_LINK_METER ? "The meter could not be told that this is over: unplug it, and plug it in again before you measure."
                                             : "The pump's radio could not be switched off; it does that by itself within ten minutes.";
}
