/* SPDX-License-Identifier: Apache-2.0 */

/* Makes the gate's TLS key with GnuTLS. */

#include "key.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sodium.h>
#include <time.h>

static void privkey_donep(gnutls_x509_privkey_t *key) {
        gnutls_x509_privkey_deinit(*key);
}

static void crt_donep(gnutls_x509_crt_t *crt) {
        gnutls_x509_crt_deinit(*crt);
}

static void pubkey_donep(gnutls_pubkey_t *key) {
        gnutls_pubkey_deinit(*key);
}

static void datum_donep(gnutls_datum_t *datum) {
        if (datum->data) {
                sodium_memzero(datum->data, datum->size);
                gnutls_free(datum->data);
        }
}

static int error_of(int gnutls_r) {
        return gnutls_r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EIO;
}

void key_done(Key *key) {
        if (key->key_pem)
                sodium_memzero(key->key_pem, strlen(key->key_pem));
        free(key->key_pem);
        free(key->certificate_pem);
        *key = (Key){0};
}

static int describe(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key) {
        static const uint8_t ipv4[4] = {127, 0, 0, 1};
        uint8_t serial[16];
        time_t now = time(NULL);
        int r;

        randombytes_buf(serial, sizeof(serial));
        serial[0] = (uint8_t) ((serial[0] & 0x3f) | 0x40); /* RFC 5280, 4.1.2.2: positive, and always of 16 bytes */

        if ((r = gnutls_x509_crt_set_version(crt, 3)) < 0 ||
            (r = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial))) < 0 ||
            (r = gnutls_x509_crt_set_dn(crt, "CN=carewallet gate", NULL)) < 0 ||
            (r = gnutls_x509_crt_set_activation_time(crt, now - 86400)) < 0 || /* a provider's clock may be behind */
            (r = gnutls_x509_crt_set_expiration_time(crt, now + (time_t) KEY_YEARS * 365 * 86400)) < 0 ||
            (r = gnutls_x509_crt_set_key(crt, key)) < 0 ||
            (r = gnutls_x509_crt_set_basic_constraints(crt, 0, -1)) < 0 ||
            (r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE)) < 0 ||
            (r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0)) < 0 ||
            (r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", sizeof("localhost") - 1,
                                                      GNUTLS_FSAN_SET)) < 0 ||
            (r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ipv4, sizeof(ipv4), GNUTLS_FSAN_APPEND)) < 0)
                return error_of(r);
        return 0;
}

static int sign(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key) {
        int r;

        r = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
        return r < 0 ? error_of(r) : 0;
}

static int export(Key *ret, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key) {
        cleanup(datum_donep) gnutls_datum_t key_pem = {0}, certificate_pem = {0}, spki = {0};
        cleanup(pubkey_donep) gnutls_pubkey_t public = NULL;
        int r;

        if ((r = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &key_pem)) < 0 ||
            (r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &certificate_pem)) < 0 ||
            (r = gnutls_pubkey_init(&public)) < 0 || (r = gnutls_pubkey_import_x509(public, crt, 0)) < 0 ||
            (r = gnutls_pubkey_export2(public, GNUTLS_X509_FMT_DER, &spki)) < 0)
                return error_of(r);

        ret->key_pem = strndup((const char *) key_pem.data, key_pem.size);
        ret->certificate_pem = strndup((const char *) certificate_pem.data, certificate_pem.size);
        if (!ret->key_pem || !ret->certificate_pem) {
                key_done(ret);
                return -ENOMEM;
        }
        crypto_hash_sha256(ret->spki_sha256, spki.data, spki.size);
        return 0;
}

int key_make(Key *ret) {
        cleanup(privkey_donep) gnutls_x509_privkey_t key = NULL;
        cleanup(crt_donep) gnutls_x509_crt_t crt = NULL;
        int r;

        if ((r = gnutls_x509_privkey_init(&key)) < 0 ||
            (r = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0)) < 0 ||
            (r = gnutls_x509_crt_init(&crt)) < 0)
                return error_of(r);

        r = describe(crt, key);
        if (r < 0)
                return r;
        r = sign(crt, key);
        if (r < 0)
                return r;
        return export(ret, crt, key);
}
