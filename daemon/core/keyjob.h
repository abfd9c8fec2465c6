/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A call that works with the secrets which open the wallet: Init, Unlock, AddKey ... Its steps are runs of the kdf worker,
 * since nothing here may block and the core reads no client's descriptor. One job is worked on at a time, for Argon2 takes
 * much memory; the others wait in the order in which they came. A job ends by its one answer, or when its peer hangs up.
 */

#include "kdf.h"
#include "manager.h"

/* With a new secret: what a slot for it is made of. */
typedef struct KeyMaterial {
        unsigned type; /* SlotType; 0: a code */
        uint8_t salt[16];
        uint32_t opslimit;
        uint64_t memlimit; /* bytes */
        Secret *kek;
} KeyMaterial;

struct KeyJob { /* first member of what a method needs; calloc'd */
        Manager *manager;
        Call *call;
        KeyJob *next;
        void (*begin)(KeyJob *job); /* its turn has come */
        void (*proven)(KeyJob *job);
        void (*derived)(KeyJob *job);
        void (*done)(KeyJob *job); /* free what it holds, but not itself; may be NULL */
        Kdf *kdf;
        int secret_fd; /* "secretFd" of the call */
        SlotType type;
        Secret *root;  /* once proven */
        Secret *kek;   /* of the slot that it opened */
        size_t slot;   /* of manager->slots */
        KeyMaterial made;
};

/**
 * keyjob_start() - queue a job
 * @n_bytes: of the method's struct
 * @begin:   called from the loop
 *
 * Return: NULL when out of memory.
 */
KeyJob *keyjob_start(Manager *manager, Call *call, size_t n_bytes, void (*begin)(KeyJob *job), void (*done)(KeyJob *job));
/** keyjob_free() - the job without an answer; accepts NULL, returns NULL */
KeyJob *keyjob_free(KeyJob *job);

/**
 * keyjob_prove() - find the slot that the call's secret opens, among those of its type
 * @proven: root, kek and slot are known, the slot file is this wallet's, and the session counts as one that gave the passphrase
 *
 * A wrong secret is answered late, later with each one of a session; while such an answer is due another try of the process is
 * not made.
 */
void keyjob_prove(KeyJob *job, void (*proven)(KeyJob *job));
/** keyjob_derive() - job->made from a new secret, calibrated where it is a passphrase. @secret_fd: borrowed until @derived */
void keyjob_derive(KeyJob *job, int secret_fd, SlotType type, void (*derived)(KeyJob *job));

/** keyjob_hash_code() - job->made.kek is the code_hash() of what the descriptor has. @fd: borrowed until @derived */
void keyjob_hash_code(KeyJob *job, int fd, const uint8_t salt[static 16], void (*derived)(KeyJob *job));

/* The job's one answer; it is freed. */
void keyjob_reply(KeyJob *job, json_t *parameters, int fd);
void keyjob_error(KeyJob *job, const char *error, json_t *parameters);
void keyjob_refuse(KeyJob *job, const char *reason);
/** keyjob_failed() - negative errno */
void keyjob_failed(KeyJob *job, int r);
/** keyjob_store() - slots that were changed, and the ledger's entry; then the answer. @fields, @reply: stolen */
void keyjob_store(KeyJob *job, const Slots *slots, const char *type, json_t *fields, json_t *reply);
