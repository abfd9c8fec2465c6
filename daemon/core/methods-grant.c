/* SPDX-License-Identifier: Apache-2.0 */

/* AddProvider, ListProviders, Grant, ListGrants, Revoke. */

#include <ctype.h>
#include <sodium.h>

#include "daemon/common/spool.h"
#include "daemon/common/words.h"
#include "gate.h"
#include "narrowing.h"
#include "policy/presets.h"

static bool name_valid(const char *name) {
        size_t n = strlen(name);

        if (n == 0 || n >= CONSENT_NAME_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!islower((unsigned char) name[i]) && !isdigit((unsigned char) name[i]) && (i == 0 || !strchr("._-", name[i])))
                        return false;
        return true;
}

static int not_durable(Call *call, const char *reason) {
        return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", reason));
}

static int not_found(Call *call, const char *what, const char *name) {
        return call_error(call, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", what, "name", name));
}

/* --- providers --- */

int method_add_provider(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        const char *name = call_string(call, "name"), *x = call_string(call, "x");
        char words[WORDS_SIZE], thumbprint[JWS_THUMBPRINT_SIZE];
        ConsentProvider provider = { 0 };
        size_t n;
        int r;

        if (!name_valid(name))
                return call_refuse(call, "A provider's name has 1 to %d characters: small letters, digits, and . _ - but not in front.", CONSENT_NAME_MAX - 1);
        if (b64url_decode(provider.key, sizeof(provider.key), &n, x, strlen(x)) != 0 || n != sizeof(provider.key) ||
            crypto_core_ed25519_is_valid_point(provider.key) != 1)
                return call_refuse(call, "That is no Ed25519 public key. Ask the provider for the file that `carewallet-provider keygen` wrote (provider.jwk).");
        (void) snprintf(provider.name, sizeof(provider.name), "%s", name);
        provider.added_s = wallet_now(wallet).utc_ms / 1000;
        jwk_thumbprint(thumbprint, provider.key);
        words_of_key(words, provider.key);

        r = wallet_begin(wallet);
        if (r == 0)
                r = consent_provider_add(wallet->consent, &provider);
        if (r == CONSENT_E_EXISTS) {
                wallet_rollback(wallet);
                return call_error(call, "org.carewallet.Exists", json_pack("{s:s, s:s}", "what", "provider or key", "name", name));
        }
        if (r == 0)
                r = wallet_log(wallet, "provider-added", json_pack("{s:s, s:s}", "provider", name, "key", thumbprint));
        if (r == 0)
                r = wallet_commit(wallet);
        if (r != 0) {
                wallet_rollback(wallet);
                return not_durable(call, "The provider was not added: the disk is full or cannot be written.");
        }
        return call_reply(call, json_pack("{s:s, s:s}", "words", words, "thumbprint", thumbprint));
}

json_t *provider_json(const ConsentProvider *provider) {
        char words[WORDS_SIZE], thumbprint[JWS_THUMBPRINT_SIZE], x[JWS_THUMBPRINT_SIZE], added[CLOCK_TEXT_SIZE];

        words_of_key(words, provider->key);
        jwk_thumbprint(thumbprint, provider->key);
        (void) b64url_encode(x, sizeof(x), provider->key, sizeof(provider->key));
        clock_format_utc(added, provider->added_s);
        return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", provider->name, "x", x, "words", words, "thumbprint", thumbprint, "added", added);
}

static int add_provider_json(const ConsentProvider *provider, void *userdata) {
        return json_array_append_new(userdata, provider_json(provider)) < 0 ? -ENOMEM : 0;
}

int method_list_providers(Call *call, void *userdata) {
        Manager *manager = userdata;
        json_t *providers = json_array();
        int r;

        r = consent_providers(manager->wallet->consent, add_provider_json, providers);
        if (r != 0) {
                json_decref(providers);
                return fold(r);
        }
        return call_reply(call, json_pack("{s:o}", "providers", providers));
}

/* --- grants as JSON and in plain words --- */

static const char *state_name(const PolicyGrant *policy, PolicyNow now) {
        if (policy->revoked)
                return "revoked";
        if (policy->expired || now.utc_ms / 1000 >= policy->signed_terms.expires_s)
                return "expired";
        if (policy->suspended)
                return "suspended";
        if (now.utc_ms / 1000 < policy->signed_terms.not_before_s)
                return "not yet valid";
        if (policy->signed_terms.uses_max > 0 && policy->uses >= policy->signed_terms.uses_max)
                return "used up";
        return "active";
}

bool grant_is_active(const Grant *grant, PolicyNow now) {
        return strcmp(state_name(&grant->policy, now), "active") == 0;
}

static json_t *terms_json(const GrantClaims *claims, const char *provider, const char *state, uint32_t uses, int64_t revoked_s) {
        const PolicyTerms *terms = &claims->terms;
        const PolicyScope *scope = &terms->scope;
        char issued[CLOCK_TEXT_SIZE], begin[CLOCK_TEXT_SIZE], end[CLOCK_TEXT_SIZE], text[CLOCK_TEXT_SIZE];
        json_t *window, *grant;

        clock_format_utc(issued, claims->issued_s);
        clock_format_utc(begin, terms->not_before_s);
        clock_format_utc(end, terms->expires_s);
        window = json_pack("{s:b}", "newer", scope->window.newer);
        if (scope->window.type == POLICY_WINDOW_LAST)
                (void) json_object_set_new(window, "lastDays", json_integer(scope->window.last_days));
        else {
                clock_format_day(text, scope->window.from_day);
                (void) json_object_set_new(window, "from", json_string(text));
                clock_format_day(text, scope->window.to_day);
                (void) json_object_set_new(window, "to", json_string(text));
        }
        grant = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:b, s:I, s:s, s:I}", "id", claims->jti, "provider", provider, "state", state, "issued",
                          issued, "notBefore", begin, "expires", end, "detail", grant_detail_name(scope->detail), "kinds", grant_kinds_json(scope->kinds), "window", window,
                          "identity", grant_identity_name(scope->identity), "freeText", scope->free_text, "uses", (json_int_t) uses, "purpose", claims->purpose,
                          "retentionDays", (json_int_t) claims->retention_days);
        if (grant && terms->uses_max > 0)
                (void) json_object_set_new(grant, "usesMax", json_integer(terms->uses_max));
        if (grant && revoked_s > 0) {
                clock_format_utc(text, revoked_s);
                (void) json_object_set_new(grant, "revoked", json_string(text));
        }
        return grant;
}

json_t *grant_json(const Grant *grant, PolicyNow now) {
        json_t *json = terms_json(&grant->claims, grant->provider_name, state_name(&grant->policy, now), grant->policy.uses, grant->revoked_s);

        if ((grant->revoked_unstored && !grant->revoked_spooled) || grant->expired_unstored)
                (void) json_object_set_new(json, "durable", json_false());
        return json;
}

int method_list_grants(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        PolicyNow now = wallet_now(wallet);
        json_t *list = json_array();

        for (size_t i = 0; i < grants_n(wallet->grants); i++)
                (void) json_array_append_new(list, grant_json(grants_at(wallet->grants, i), now));
        return call_reply(call, json_pack("{s:o}", "grants", list));
}

static const char *purpose_words(const char *purpose) {
        static const struct {
                const char *code, *words;
        } table[] = {
                { "TREAT", "to treat you" },
                { "CAREMGT", "to manage your care" },
                { "HRESCH", "for health research" },
                { "PATRQT", "because you ask for it" },
                { "FAMRQT", "because your family asks for it" },
        };

        for (size_t i = 0; i < N_ELEMENTS(table); i++)
                if (strcmp(purpose, table[i].code) == 0)
                        return table[i].words;
        return purpose;
}

static char *plain_words(const GrantClaims *claims, const char *provider) {
        const PolicyTerms *terms = &claims->terms;
        const PolicyScope *scope = &terms->scope;
        char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE], issue[CLOCK_TEXT_SIZE], end[CLOCK_TEXT_SIZE];
        char *text = NULL;
        size_t n_text;
        FILE *file = open_memstream(&text, &n_text);

        if (!file)
                return NULL;
        clock_format_local(end, terms->expires_s);
        clock_format_day(issue, claims->issued_day);
        (void) fprintf(file, "Who: %s, who must prove to have the key that you added; nobody else can use this grant.\nWhat: ", provider);
        if (scope->detail == POLICY_SUMMARY)
                (void) fprintf(file, "a summary of sensor glucose (count, mean, times in ranges, days covered), no single reading.\n");
        else {
                const char *comma = "";

                for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                        if (scope->kinds & RECORD_KIND_BIT(kind)) {
                                (void) fprintf(file, "%s%s", comma, kind == RECORD_DEVICE_EVENT ? "device events" : record_kind_name(kind));
                                comma = ", ";
                        }
                (void) fprintf(file, " (every record, and the summary)%s.\n", scope->free_text ? ", with your own texts" : "; your own texts stay here");
        }
        if (scope->window.type == POLICY_WINDOW_LAST && scope->window.newer)
                (void) fprintf(file, "Of when: the last %d days on the day of each request, new data included.\n", scope->window.last_days);
        else if (scope->window.type == POLICY_WINDOW_LAST)
                (void) fprintf(file, "Of when: the %d days up to %s; nothing newer.\n", scope->window.last_days, issue);
        else {
                clock_format_day(from, scope->window.from_day);
                clock_format_day(to, scope->window.to_day);
                (void) fprintf(file, "Of when: %s to %s%s.\n", from, to, scope->window.newer || scope->window.to_day <= claims->issued_day ? "" : ", but nothing from after today");
        }
        (void) fprintf(file, "Until: %s, or until you revoke it.", end);
        if (terms->uses_max > 0)
                (void) fprintf(file, " At most %u %s.", terms->uses_max, terms->uses_max == 1 ? "time" : "times");
        (void) fprintf(file, "\nWhat for: %s.", purpose_words(claims->purpose));
        if (claims->retention_days > 0)
                (void) fprintf(file, " They are asked to delete it after %u days and not to pass it on.", claims->retention_days);
        (void) fprintf(file, "\nNames: your name does not leave; %s.\n",
                       scope->identity == POLICY_PSEUDONYM ? "serial numbers are replaced by pseudonyms for this provider" : "no serial number leaves, nor a stand-in");
        (void) fprintf(file, "To stop: carewallet revoke %s. What was fetched before cannot be called back.\n", provider);
        if (fclose(file) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

/* --- Grant --- */

/* Fill claims from a preset and what the call says. Return: NULL, or what is wrong, for a person. */
static const char *claims_from_call(Call *call, const Wallet *wallet, GrantClaims *claims) {
        static const char *const times_reason = "--for must be at least one minute and at most 365 days.";
        const char *preset_name = call_string(call, "preset"), *detail = call_string(call, "detail"), *identity = call_string(call, "identity");
        const char *from = call_string(call, "from"), *to = call_string(call, "to"), *purpose = call_string(call, "purpose");
        const PolicyPreset *preset = policy_preset_find(preset_name);
        const json_t *kinds = json_object_get(call->parameters, "kinds"), *urls = json_object_get(call->parameters, "urls"), *item;
        PolicyTerms *terms = &claims->terms;
        PolicyScope *scope = &terms->scope;
        json_int_t for_s, last_days, uses;
        size_t i;

        if (!preset)
                return "There is no such preset. Presets: endocrinologist, visit, caregiver, research-summary.";
        *scope = preset->scope;

        if (detail && strcmp(detail, "data") == 0)
                scope->detail = POLICY_DATA;
        else if (detail && strcmp(detail, "summary") == 0)
                scope->detail = POLICY_SUMMARY;
        else if (detail)
                return "--detail must be data or summary.";
        if (json_is_array(kinds)) {
                scope->kinds = 0;
                json_array_foreach(kinds, i, item) {
                        unsigned kind = record_kind_from_name(json_string_value(item), json_string_length(item));

                        if (kind == 0)
                                return "--kinds has a name that is no kind. Kinds: cgm, fingerstick, calibration, bolus, basal, carbs, wizard, settings, alarm, device_event, note.";
                        scope->kinds |= RECORD_KIND_BIT(kind);
                }
                if (scope->kinds == 0)
                        return "--kinds is empty.";
        }
        if (identity && strcmp(identity, "none") == 0)
                scope->identity = POLICY_NONE;
        else if (identity && strcmp(identity, "pseudonym") == 0)
                scope->identity = POLICY_PSEUDONYM;
        else if (identity)
                return "--identity must be pseudonym or none.";
        scope->free_text = call_bool(call, "freeText", scope->free_text);
        if (scope->detail == POLICY_SUMMARY && !(scope->kinds & RECORD_KIND_BIT(RECORD_CGM)))
                return "A summary is made of sensor glucose: --kinds must have cgm.";

        last_days = call_int(call, "lastDays", 0);
        if ((from || to) && json_is_integer(json_object_get(call->parameters, "lastDays")))
                return "Give either --last or --from and --to.";
        if (json_is_integer(json_object_get(call->parameters, "lastDays"))) {
                if (last_days < 1 || last_days > POLICY_LAST_DAYS_MAX)
                        return "--last must be at least one day.";
                scope->window.type = POLICY_WINDOW_LAST;
                scope->window.last_days = (int32_t) last_days;
        } else if (from || to) {
                if (!from || !to)
                        return "--from and --to go together.";
                scope->window = (PolicyWindow){ .type = POLICY_WINDOW_FIXED, .newer = scope->window.newer };
                if (clock_parse_day(&scope->window.from_day, from) != 0 || clock_parse_day(&scope->window.to_day, to) != 0)
                        return "--from and --to must be days such as 2025-03-31.";
                if (scope->window.from_day > scope->window.to_day)
                        return "--from is after --to.";
        }
        scope->window.newer = call_bool(call, "newer", scope->window.newer);

        for_s = call_int(call, "forS", preset->for_s);
        if (for_s < 60 || for_s > POLICY_FOR_MAX_S)
                return times_reason;
        uses = call_int(call, "uses", preset->uses_max);
        if (uses < 0 || uses > POLICY_USES_MAX)
                return "--uses must be between 1 and 1000000 (0: not limited).";
        terms->uses_max = (uint32_t) uses;

        claims->issued_s = wallet_now(wallet).utc_ms / 1000;
        claims->issued_day = clock_local_day(claims->issued_s);
        terms->not_before_s = claims->issued_s;
        terms->expires_s = claims->issued_s + for_s;
        if (!purpose)
                purpose = preset->purpose;
        for (const char *p = purpose; *p; p++)
                if (!isupper((unsigned char) *p) && !isdigit((unsigned char) *p))
                        return "--purpose must be a code of HL7 v3 ActReason in capital letters, such as TREAT.";
        if (strlen(purpose) >= sizeof(claims->purpose) || !*purpose)
                return "--purpose is too long.";
        (void) snprintf(claims->purpose, sizeof(claims->purpose), "%s", purpose);
        claims->retention_days = preset->retention_days;

        if (json_is_array(urls)) {
                json_array_foreach(urls, i, item) {
                        bool known = false;

                        for (size_t j = 0; j < wallet->n_urls; j++)
                                known = known || strcmp(wallet->urls[j], json_string_value(item)) == 0;
                        if (claims->n_urls == GRANT_URLS_MAX || !known)
                                return "--url must be an address of the gate, as `carewallet status` shows it: at any other one a redemption is refused. "
                                       "Another address needs `carewallet gate on --external URL` first.";
                        (void) snprintf(claims->urls[claims->n_urls++], GRANT_URL_MAX, "%s", json_string_value(item));
                }
        } else
                for (i = 0; i < wallet->n_urls && claims->n_urls < GRANT_URLS_MAX; i++)
                        (void) snprintf(claims->urls[claims->n_urls++], GRANT_URL_MAX, "%s", wallet->urls[i]);
        claims->n_pins = wallet->n_pins;
        memcpy(claims->pins, wallet->pins, sizeof(claims->pins));
        return policy_terms_valid(terms) ? NULL : "These terms are not possible together.";
}

int method_grant(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        const char *name = call_string(call, "provider"), *wrong;
        cleanup(freep) char *text = NULL;
        GrantClaims claims = { 0 };
        ConsentProvider provider;
        const Grant *grant = NULL;
        char words[WORDS_SIZE];
        int r;

        r = consent_provider_find(wallet->consent, name, &provider);
        if (r == CONSENT_E_NOT_FOUND)
                return not_found(call, "provider", name);
        if (r != 0)
                return fold(r);
        if (wallet_now(wallet).clock_behind)
                return call_refuse(call, "The clock of this machine is earlier than it has been: nothing is granted until it is right again, or until `carewallet clock accept`.");
        memcpy(claims.provider_key, provider.key, sizeof(claims.provider_key));
        memcpy(claims.wallet_key, wallet->public_key, sizeof(claims.wallet_key));
        wrong = claims_from_call(call, wallet, &claims);
        if (wrong)
                return call_refuse(call, "%s", wrong);
        words_of_key(words, provider.key);
        text = plain_words(&claims, name);
        if (!text)
                return -ENOMEM;
        if (call_bool(call, "dryRun", false))
                return call_reply(call, json_pack("{s:o, s:s, s:s}", "grant", terms_json(&claims, name, "not made", 0, 0), "words", words, "text", text));

        if (manager->n_notes > 0 && narrowing_store(manager) != 0) /* such a note would end the new grant, too */
                return not_durable(call, "No grant was made: the disk is full or cannot be written.");
        r = wallet_begin(wallet);
        if (r == 0)
                r = grants_issue(wallet->grants, &provider, &claims, &grant);
        if (r == GRANTS_E_FULL) {
                wallet_rollback(wallet);
                return call_refuse(call, "This wallet has its %d grants.", GRANTS_MAX);
        }
        if (r == 0) {
                json_t *fields = terms_json(&claims, name, "active", 0, 0);

                (void) json_object_set_new(fields, "grant", json_string(claims.jti));
                (void) json_object_del(fields, "id");
                (void) json_object_del(fields, "state");
                (void) json_object_del(fields, "uses");
                r = wallet_log(wallet, "grant-issued", fields);
        }
        if (r == 0)
                r = wallet_commit(wallet);
        if (r != 0) {
                wallet_rollback(wallet);
                if (grant)
                        grants_forget(wallet->grants, grant->id);
                return not_durable(call, "No grant was made: the disk is full or cannot be written.");
        }
        manager_arm_expiry(manager);
        return call_reply(call, json_pack("{s:s, s:o, s:s, s:s}", "jwt", grant->jwt, "grant", grant_json(grant, wallet_now(wallet)), "words", words, "text", text));
}

/* --- Revoke --- */

typedef struct Revoking {
        Call *call; /* NULL: the peer is gone; revoking goes on */
        json_t *answer;
        bool durable;
} Revoking;

static void on_revoking_gone(Call *call, void *userdata) {
        Revoking *revoking = userdata;

        revoking->call = NULL;
        (void) call_free(call);
}

static void on_reset(void *userdata) {
        Revoking *revoking = userdata;

        if (!revoking->call)
                json_decref(revoking->answer);
        else {
                revoking->call->gone = NULL;
                if (revoking->durable)
                        (void) call_reply(revoking->call, revoking->answer);
                else {
                        json_decref(revoking->answer);
                        (void) not_durable(revoking->call, "The grants are dead now and the gate is off, but the disk is full or cannot be written: after a restart they "
                                                           "would be alive again. Make room: it is tried again every few seconds, and `carewallet status` says when it is stored.");
                }
        }
        free(revoking);
}

static int spool(Manager *manager, Call *call, const char *provider, const char *reason) {
        SpoolEntry entry = { .type = provider ? SPOOL_REVOKE : SPOOL_REVOKE_ALL };
        int r;

        (void) reason;
        if (!manager->has_slots)
                return call_error(call, manager_why_closed(manager), NULL);
        if (provider && !name_valid(provider))
                return not_found(call, "provider", provider);
        if (provider)
                (void) snprintf(entry.provider, sizeof(entry.provider), "%s", provider);
        entry.time_unix_ms = clock_now(0).utc_ms;
        r = spool_add(manager->config.state_dir_fd, manager->slots.spool_public_key, manager->slots.wallet_id, &entry);
        if (r == SPOOL_E_FULL)
                return call_refuse(call, "A thousand revocations wait already. Unlock the wallet to apply them, or use `carewallet revoke --all`.");
        if (r != 0)
                return not_durable(call, "The revocation could not be written: the disk is full or cannot be written. Nothing is served while the wallet is locked.");
        return call_reply(call, json_pack("{s:i, s:i, s:i, s:b, s:b, s:[]}", "revoked", 0, "streamsCut", 0, "bytesHandedOut", 0, "durable", 1, "spooled", 1, "fetched"));
}

int method_revoke(Call *call, void *userdata) {
        static Revocation revocation; /* 80 KB, one at a time */
        Manager *manager = userdata;
        const char *provider = call_string(call, "provider"), *reason = call_string(call, "reason");
        Revoking *revoking;
        json_t *fetched;
        int r;

        if (call_bool(call, "all", false) == (provider != NULL))
                return call_refuse(call, "Say whose access ends: `carewallet revoke NAME`, or `carewallet revoke --all`.");
        if (!manager->wallet)
                return spool(manager, call, provider, reason);

        revoking = calloc(1, sizeof(*revoking));
        if (!revoking)
                return -ENOMEM;
        r = manager_revoke(manager, provider, reason, &revocation);
        if (r == CONSENT_E_NOT_FOUND) {
                free(revoking);
                return not_found(call, "provider", provider);
        }
        if (r != 0) {
                free(revoking);
                return fold(r);
        }
        fetched = json_array();
        for (unsigned i = 0; i < revocation.n_grants; i++) {
                const Grant *grant = grants_by_id(manager->wallet->grants, revocation.ids[i]);

                if (grant)
                        (void) json_array_append_new(fetched, json_pack("{s:s, s:s, s:I}", "grant", grant->claims.jti, "provider", grant->provider_name, "uses",
                                                                        (json_int_t) grant->policy.uses));
        }
        revoking->call = call;
        revoking->durable = revocation.durable;
        revoking->answer = json_pack("{s:i, s:i, s:I, s:b, s:b, s:o}", "revoked", (int) revocation.n_grants, "streamsCut", (int) revocation.handed_out.n_streams_cut,
                                     "bytesHandedOut", (json_int_t) revocation.handed_out.n_bytes, "durable", revocation.durable, "spooled", 0, "fetched", fetched);
        call->gone = on_revoking_gone;
        call->gone_userdata = revoking;
        if (revocation.n_grants == 0 && revocation.durable) {
                on_reset(revoking);
                return 0;
        }
        if (!revocation.durable) {
                narrowing_hold_gate(manager);
                revoking->durable = !wallet_is_unstored(manager->wallet); /* there may be room since */
                if (!revoking->durable) {
                        revoking->durable = narrowing_spool(manager) == 0;
                        (void) json_object_set_new(revoking->answer, "spooled", json_boolean(revoking->durable));
                }
                (void) json_object_set_new(revoking->answer, "durable", json_boolean(revoking->durable));
                on_reset(revoking);
                return 0;
        }
        return fold(gate_reset(manager, revocation.ids, revocation.n_grants, on_reset, revoking));
}
