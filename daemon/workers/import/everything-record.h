/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One record of a complete export: the way back of serialise_ndjson(). */

#include <jansson.h>

#include "policy/record.h"

/**
 * everything_time() - YYYY-MM-DDTHH:MM:SS or with .mmm behind it, and with Z where it is UTC
 *
 * Return: whether it is one.
 */
bool everything_time(const char *text, size_t n_text, bool is_utc, int64_t *ret_ms);

/**
 * everything_record() - the value of "record", every member of it
 * @payload: what record->payload borrows
 *
 * Return: whether it is one that record_valid() accepts, of a source and an import.
 */
bool everything_record(const json_t *json, Payload *payload, Record *ret);
