/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"
#include "same.h"

/*
 * A repeated hour. An export that begins inside it does not know that the clock had shown these times before, so its
 * records have the identities of the first time (daemon/FORMAT.md, "identity"). Nor does one that begins after a clock was
 * put back by hand, over hours that no zone repeats. Records of such an hour are therefore looked for under each epoch, and
 * what is no copy of anything never takes another's place.
 */
enum {
        N_EPOCHS = 32, /* more are left as they come */
};

/* What is visible of one place but for the epoch, and the records of a batch that belong there. */
typedef struct Passes {
        Record *members[N_EPOCHS];
        size_t n_members;
        uint32_t there;            /* epochs that have a visible record, bit by bit */
        uint32_t given;            /* epochs that a member has */
        uint8_t pass[N_EPOCHS];    /* of what is there */
        bool is_own[N_EPOCHS];     /* the running import stored something of it */
        uint32_t is_same[N_EPOCHS]; /* members that say the same, or more or less of it, bit by bit */
} Passes;

/* One device's records of a kind and a moment: they stand beside each other. */
static bool same_place(const Record *a, const Record *b) {
        return a->kind == b->kind && a->local_ms == b->local_ms && memcmp(a->identity, b->identity, IDENTITY_EPOCH_AT) == 0;
}

static bool same_but_epoch(const Record *a, const Record *b) {
        return same_place(a, b) &&
               memcmp(a->identity + IDENTITY_ORDINAL_AT, b->identity + IDENTITY_ORDINAL_AT, RECORD_IDENTITY_SIZE - IDENTITY_ORDINAL_AT) == 0;
}

static unsigned epoch_of(const Record *record) {
        return get_le16(record->identity + IDENTITY_EPOCH_AT);
}

static uint8_t pass_of(const Record *record) {
        return record->flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS);
}

/* All rows of one identity have been collected. */
static void passes_add(Passes *p, Records *records) {
        const Record *there = records_versions_visible(&records->versions);
        unsigned epoch;

        records_versions_clear(&records->versions);
        epoch = there ? epoch_of(there) : N_EPOCHS;
        if (epoch >= N_EPOCHS)
                return;
        p->there |= UINT32_C(1) << epoch;
        p->pass[epoch] = pass_of(there);
        for (size_t i = 0; i < p->n_members; i++)
                if (same_adds_nothing(there, p->members[i]) || same_adds_nothing(p->members[i], there))
                        p->is_same[epoch] |= UINT32_C(1) << i;
}

static int find_passes(Records *records, Passes *p) {
        cleanup(db_resetp) DbStatement *statement = records->from;
        uint8_t begin[RECORD_IDENTITY_SIZE] = { 0 };
        const Record *place = p->members[0];
        unsigned epoch = 0;
        int r;

        records_versions_clear(&records->versions);
        memcpy(begin, place->identity, IDENTITY_EPOCH_AT);
        db_bind_int(statement, 1, place->kind);
        db_bind_int(statement, 2, place->local_ms);
        db_bind_blob(statement, 3, begin, sizeof(begin));
        for (;;) {
                Record there;
                bool row = false;

                r = db_step(statement, &row);
                if (!r && row)
                        r = records_read_row(records, statement, place->kind, &there);
                if (r)
                        return r;
                if (!row || there.local_ms != place->local_ms || memcmp(there.identity, begin, IDENTITY_EPOCH_AT) != 0) {
                        passes_add(p, records);
                        return 0;
                }
                if (epoch_of(&there) != epoch) {
                        passes_add(p, records);
                        epoch = epoch_of(&there);
                }
                if (!same_but_epoch(&there, place) || (there.import != records->import && !records_is_done(records, there.import)))
                        continue;
                if (there.import == records->import && epoch < N_EPOCHS)
                        p->is_own[epoch] = true;
                r = records_versions_add(&records->versions, &there);
                if (r)
                        return r;
        }
}

/* Whether a member is a copy of what is there, or knows more of the same. */
static bool is_copy(const Passes *p, size_t member, unsigned epoch) {
        uint8_t pass = p->pass[epoch], mine = pass_of(p->members[member]);

        if (!(p->there >> epoch & 1) || p->given >> epoch & 1 || !(p->is_same[epoch] >> member & 1))
                return false;
        return pass == mine || (!p->is_own[epoch] && (!pass || !mine));
}

/* Whether a member may take its own epoch: nothing is there, or what it corrects. */
static bool is_free(const Passes *p, size_t member, unsigned epoch) {
        uint8_t pass = p->pass[epoch], mine = pass_of(p->members[member]);

        if (epoch >= N_EPOCHS)
                return true;
        if (p->given >> epoch & 1)
                return false;
        return !(p->there >> epoch & 1) || (mine && mine == pass);
}

static void give_epochs(Passes *p) {
        bool is_given[N_EPOCHS] = { false };

        /* copies first, those under their own epoch before others */
        for (unsigned try = 0; try < 2; try++) {
                for (size_t i = 0; i < p->n_members; i++) {
                        unsigned own = epoch_of(p->members[i]), epoch = try == 0 ? own : 0;

                        while (!is_given[i] && epoch < N_EPOCHS && !is_copy(p, i, epoch) && try != 0)
                                epoch++;
                        if (is_given[i] || epoch >= N_EPOCHS || !is_copy(p, i, epoch))
                                continue;
                        put_le16(p->members[i]->identity + IDENTITY_EPOCH_AT, (uint16_t) epoch);
                        p->given |= UINT32_C(1) << epoch;
                        is_given[i] = true;
                }
        }
        for (size_t i = 0; i < p->n_members; i++) {
                unsigned epoch = epoch_of(p->members[i]);

                if (is_given[i])
                        continue;
                if (!is_free(p, i, epoch))
                        for (epoch = 0; epoch < N_EPOCHS - 1 && ((p->there | p->given) >> epoch & 1);)
                                epoch++;
                put_le16(p->members[i]->identity + IDENTITY_EPOCH_AT, (uint16_t) epoch);
                if (epoch < N_EPOCHS)
                        p->given |= UINT32_C(1) << epoch;
        }
}

int records_tell_passes_apart(Records *records, Record *batch, size_t n_batch, const bool *is_repeated, bool *ret_changed) {
        bool is_settled[RECORDS_BATCH_MAX] = { false };

        *ret_changed = false;
        for (size_t i = 0; i < n_batch; i++) {
                Passes p = { 0 };
                unsigned before[N_EPOCHS];
                int r;

                if (is_settled[i] || (!is_repeated[i] && !pass_of(&batch[i]) && batch[i].clock != RECORD_CLOCK_AMBIGUOUS && batch[i].clock != RECORD_CLOCK_UNSET))
                        continue;
                for (size_t k = i; k < n_batch && p.n_members < N_EPOCHS && same_place(&batch[i], &batch[k]); k++) {
                        if (is_settled[k] || !same_but_epoch(&batch[i], &batch[k]))
                                continue;
                        before[p.n_members] = epoch_of(&batch[k]);
                        p.members[p.n_members++] = &batch[k];
                        is_settled[k] = true;
                }
                r = find_passes(records, &p);
                if (r)
                        return r;
                give_epochs(&p);
                for (size_t k = 0; k < p.n_members; k++)
                        *ret_changed |= epoch_of(p.members[k]) != before[k];
        }
        return 0;
}
