/* SPDX-License-Identifier: Apache-2.0 */

#include "consent-private.h"

#define GRANT_COLUMNS                                                                                                              \
        "provider, jti, assertion_sha256, jwt, issued_s, kinds, detail, identity, free_text, window_type, from_day, to_day, last_days, " \
        "newer, not_before_s, expires_s, uses_max, uses, suspended, expired, revoked_s"

/* --- providers --- */

static bool name_valid(const char *name) {
        size_t n = strnlen(name, CONSENT_NAME_MAX);

        return n > 0 && n < CONSENT_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n && name[0] != '.' && name[0] != '_' && name[0] != '-';
}

int consent_provider_add(Consent *consent, ConsentProvider *provider_io) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        if (!name_valid(provider_io->name))
                return -EINVAL;

        r = db_prepare(consent->db, &statement, "INSERT INTO providers(name, key, added_s) VALUES(?1, ?2, ?3)");
        if (r)
                return r;
        db_bind_text(statement, 1, provider_io->name);
        db_bind_blob(statement, 2, provider_io->key, sizeof(provider_io->key));
        db_bind_int(statement, 3, provider_io->added_s);
        r = consent_change(consent, statement);
        if (r)
                return r;
        provider_io->id = (uint64_t) db_last_id(consent->db);
        return 0;
}

static int read_provider(DbStatement *statement, ConsentProvider *ret) {
        ConsentProvider provider = {
                .id = (uint64_t) db_column_int(statement, 0),
                .added_s = db_column_int(statement, 3),
        };

        (void) snprintf(provider.name, sizeof(provider.name), "%s", db_column_text(statement, 1));
        if (!db_column_copy(statement, 2, provider.key, sizeof(provider.key)))
                return CONSENT_E_KEY;
        *ret = provider;
        return 0;
}

int consent_provider_find(Consent *consent, const char *name, ConsentProvider *ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT id, name, key, added_s FROM providers WHERE name = ?1");
        if (r)
                return r;
        db_bind_text(statement, 1, name);
        r = db_step(statement, &row);
        if (r)
                return r;
        return row ? read_provider(statement, ret) : CONSENT_E_NOT_FOUND;
}

int consent_providers(Consent *consent, int (*each)(const ConsentProvider *provider, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT id, name, key, added_s FROM providers ORDER BY id");
        if (r)
                return r;
        for (;;) {
                ConsentProvider provider;
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                r = read_provider(statement, &provider);
                if (r)
                        return r;
                r = each(&provider, userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
}

/* --- grants --- */

void consent_grant_done(ConsentGrant *grant) {
        free(grant->jwt);
        grant->jwt = NULL;
}

int consent_grant_add(Consent *consent, ConsentGrant *grant_io) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        const PolicyTerms *terms = &grant_io->policy.live_terms;
        int r, at = 0;

        if (strlen(grant_io->jwt) > CONSENT_GRANT_MAX)
                return -EMSGSIZE;

        r = db_prepare(consent->db, &statement,
                       "INSERT INTO grants(" GRANT_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)");
        if (r)
                return r;
        db_bind_int(statement, ++at, (int64_t) grant_io->provider);
        db_bind_text(statement, ++at, grant_io->jti);
        db_bind_blob(statement, ++at, grant_io->assertion_sha256, sizeof(grant_io->assertion_sha256));
        db_bind_text(statement, ++at, grant_io->jwt);
        db_bind_int(statement, ++at, grant_io->issued_s);
        db_bind_int(statement, ++at, terms->scope.kinds);
        db_bind_int(statement, ++at, terms->scope.detail);
        db_bind_int(statement, ++at, terms->scope.identity);
        db_bind_int(statement, ++at, terms->scope.free_text);
        db_bind_int(statement, ++at, terms->scope.window.type);
        db_bind_int(statement, ++at, terms->scope.window.from_day);
        db_bind_int(statement, ++at, terms->scope.window.to_day);
        db_bind_int(statement, ++at, terms->scope.window.last_days);
        db_bind_int(statement, ++at, terms->scope.window.newer);
        db_bind_int(statement, ++at, terms->not_before_s);
        db_bind_int(statement, ++at, terms->expires_s);
        db_bind_int(statement, ++at, terms->uses_max);
        db_bind_int(statement, ++at, grant_io->policy.uses);
        db_bind_int(statement, ++at, grant_io->policy.suspended);
        db_bind_int(statement, ++at, grant_io->policy.expired);
        db_bind_int(statement, ++at, grant_io->revoked_s);
        r = consent_change(consent, statement);
        if (r)
                return r;
        grant_io->id = (uint64_t) db_last_id(consent->db);
        return 0;
}

/* "id, " GRANT_COLUMNS; the text of the JWT is borrowed from the statement. */
static int read_grant(DbStatement *statement, ConsentGrant *ret, const char **ret_jwt) {
        ConsentGrant grant = { 0 };
        PolicyTerms *terms = &grant.policy.live_terms;
        int at = 0;

        grant.id = (uint64_t) db_column_int(statement, at++);
        grant.provider = (uint64_t) db_column_int(statement, at++);
        (void) snprintf(grant.jti, sizeof(grant.jti), "%s", db_column_text(statement, at++));
        if (!db_column_copy(statement, at++, grant.assertion_sha256, sizeof(grant.assertion_sha256)))
                return CONSENT_E_KEY;
        *ret_jwt = db_column_text(statement, at++);
        grant.issued_s = db_column_int(statement, at++);
        terms->scope.kinds = (uint32_t) db_column_int(statement, at++);
        terms->scope.detail = (uint8_t) db_column_int(statement, at++);
        terms->scope.identity = (uint8_t) db_column_int(statement, at++);
        terms->scope.free_text = db_column_int(statement, at++) != 0;
        terms->scope.window.type = (uint8_t) db_column_int(statement, at++);
        terms->scope.window.from_day = (int32_t) db_column_int(statement, at++);
        terms->scope.window.to_day = (int32_t) db_column_int(statement, at++);
        terms->scope.window.last_days = (int32_t) db_column_int(statement, at++);
        terms->scope.window.newer = db_column_int(statement, at++) != 0;
        terms->not_before_s = db_column_int(statement, at++);
        terms->expires_s = db_column_int(statement, at++);
        terms->uses_max = (uint32_t) db_column_int(statement, at++);
        grant.policy.uses = (uint32_t) db_column_int(statement, at++);
        grant.policy.suspended = db_column_int(statement, at++) != 0;
        grant.policy.expired = db_column_int(statement, at++) != 0;
        grant.revoked_s = db_column_int(statement, at++);
        grant.policy.revoked = grant.revoked_s != 0;
        *ret = grant;
        return 0;
}

int consent_grants(Consent *consent, int (*each)(const ConsentGrant *grant, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT id, " GRANT_COLUMNS " FROM grants ORDER BY id");
        if (r)
                return r;
        for (;;) {
                cleanup(consent_grant_done) ConsentGrant grant = { 0 };
                const char *jwt;
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                r = read_grant(statement, &grant, &jwt);
                if (r)
                        return r;
                grant.jwt = strdup(jwt);
                if (!grant.jwt)
                        return -ENOMEM;
                r = each(&grant, userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
}

static int change_grant(Consent *consent, const char *sql, uint64_t id, int64_t value) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, sql);
        if (r)
                return r;
        db_bind_int(statement, 1, (int64_t) id);
        db_bind_int(statement, 2, value);
        r = consent_change(consent, statement);
        if (r)
                return r;
        return db_n_changes(consent->db) > 0 ? 0 : CONSENT_E_NOT_FOUND;
}

/* A second revocation keeps the time of the first; a clock that stands before 1970 does not bring a grant to life. */
int consent_grant_revoke(Consent *consent, uint64_t id, int64_t now_s) {
        return change_grant(consent, "UPDATE grants SET revoked_s = CASE revoked_s WHEN 0 THEN ?2 ELSE revoked_s END WHERE id = ?1", id, now_s > 0 ? now_s : 1);
}

int consent_grant_expire(Consent *consent, uint64_t id) {
        return change_grant(consent, "UPDATE grants SET expired = ?2 WHERE id = ?1", id, 1);
}

int consent_grant_suspend(Consent *consent, uint64_t id, bool suspended) {
        return change_grant(consent, "UPDATE grants SET suspended = ?2 WHERE id = ?1", id, suspended);
}

int consent_grant_use(Consent *consent, uint64_t id, uint32_t uses) {
        return change_grant(consent, "UPDATE grants SET uses = ?2 WHERE id = ?1", id, uses);
}
