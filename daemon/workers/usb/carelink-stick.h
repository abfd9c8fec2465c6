/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The CareLink USB stick (MMT-7305) and the radio behind it.
 *
 * Over this radio a pump can also be told to give insulin. So commands are framed in one place, and only those of a
 * compiled-in list of reads with exactly their parameters: carelink_stick_frame() refuses all else, a test tries all.
 */

#include "paradigm.h"
#include "transport.h"

enum {
        CARELINK_STICK_PACKET = 64, /* bytes of one USB transfer */
        CARELINK_STICK_PARAMETERS_MAX = 4,
        CARELINK_STICK_FRAME_MAX = 16 + CARELINK_STICK_PARAMETERS_MAX,
        CARELINK_STICK_REPLY = 64, /* bytes of a pump's short answer */
        CARELINK_STICK_SIGNAL_MIN = 50,

        CARELINK_STICK_E_FORBIDDEN = 1, /* no command of the list, or not with these parameters */
        CARELINK_STICK_E_SILENT,        /* the stick does not answer */
        CARELINK_STICK_E_OTHER,         /* what answers is no CareLink stick */
        CARELINK_STICK_E_NO_PUMP,       /* the stick does, the pump does not */
        CARELINK_STICK_E_REFUSED,       /* the pump said no (CarelinkStick.refusal) */
        CARELINK_STICK_E_GARBLED,       /* three times something else than an answer, or cut, or with a wrong checksum */
        CARELINK_STICK_E_FOREIGN,       /* another pump answers */
};

typedef enum CarelinkOpcode {
        CARELINK_POWER = 0x5d,
        CARELINK_CLOCK = 0x70,
        CARELINK_PUMP_ID = 0x71,
        CARELINK_BATTERY = 0x72,
        CARELINK_RESERVOIR = 0x73,
        CARELINK_FIRMWARE = 0x74,
        CARELINK_HISTORY_PAGE = 0x80,
        CARELINK_MODEL = 0x8d,
        CARELINK_SETTINGS_512 = 0x91,
        CARELINK_PROFILE_STANDARD = 0x92,
        CARELINK_PROFILE_A = 0x93,
        CARELINK_PROFILE_B = 0x94,
        CARELINK_GLUCOSE_PAGE = 0x9a,
        CARELINK_ISIG_PAGE = 0x9b,
        CARELINK_NEWEST_HISTORY = 0x9d,
        CARELINK_SETTINGS = 0xc0,
        CARELINK_NEWEST_GLUCOSE = 0xcd,
        CARELINK_STATUS = 0xce,
} CarelinkOpcode;

typedef struct CarelinkStick {
        const Transport *transport;
        uint8_t serial[3];  /* of the pump, as the packets have it: two digits a byte */
        bool is_worldwide;  /* 868 MHz: can't talk to a US pump, nor the other way round */
        uint8_t version[2]; /* of the stick's software */
        uint8_t refusal;    /* the pump's reason: 08 refused, 0d no such page ... */
        unsigned n_retries; /* answers that were asked for again */
        size_t n_owed;      /* bytes of the answer to what was written last that were not read */
} CarelinkStick;

/**
 * carelink_stick_frame() - the bytes of one command to a pump
 *
 * Return: 0; CARELINK_STICK_E_FORBIDDEN.
 */
must_check int carelink_stick_frame(const uint8_t serial[static 3], unsigned opcode, const uint8_t *parameters, size_t n_parameters,
                                    uint8_t ret[static CARELINK_STICK_FRAME_MAX], size_t *ret_n);

/** carelink_stick_serial() - six digits as the packets have them; false when they are not */
bool carelink_stick_serial(const char *digits, uint8_t ret[static 3]);

/**
 * carelink_stick_open() - throw away what an earlier session left, and look whether it is such a stick
 *
 * Return: 0; CARELINK_STICK_E_SILENT; CARELINK_STICK_E_OTHER; negative errno of the transport.
 */
must_check int carelink_stick_open(CarelinkStick *stick, const Transport *transport, const uint8_t serial[static 3]);
/** carelink_stick_signal() - how well the stick hears, 0..255 */
must_check int carelink_stick_signal(CarelinkStick *stick, unsigned *ret);
/** carelink_stick_wake() - power the pump's radio for ten minutes; takes 17 s when it sleeps. Errors as below. */
must_check int carelink_stick_wake(CarelinkStick *stick);
/** carelink_stick_sleep() - and off again; whatever went wrong before, this is tried */
must_check int carelink_stick_sleep(CarelinkStick *stick);

/**
 * carelink_stick_ask() - a short answer, its first @n bytes; up to three times
 * @n_tries: 1..3
 *
 * Return: 0; CARELINK_STICK_E_...; negative errno of the transport.
 */
must_check int carelink_stick_ask(CarelinkStick *stick, CarelinkOpcode opcode, unsigned n_tries, uint8_t ret[static CARELINK_STICK_REPLY]);

/**
 * carelink_stick_page() - a long answer of exactly @n_page bytes; up to three times
 * @ret_n: how many came at the last try, also on failure: what is in @page is then what there is
 *
 * Return: as carelink_stick_ask().
 */
must_check int carelink_stick_page(CarelinkStick *stick, CarelinkOpcode opcode, uint32_t number, uint8_t *page, size_t n_page,
                                   int (*check)(const uint8_t *page, size_t n), size_t *ret_n);
