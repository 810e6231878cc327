/* Objects "tls-creds-x509", "tls-creds-psk" and "tls-creds-anon": credentials under the names that
 * qemu's command line gives them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/secret.h"
#include "block/tls.h"

typedef struct TlsObject {
    TlsCredentials *credentials;
} TlsObject;

#define COMMON_OPTIONS                                                                             \
    {"endpoint", BLOCK_OPTION_STRING, "client or server", "client"},                               \
        {"dir", BLOCK_OPTION_STRING, "directory of the files"},                                    \
        {"priority", BLOCK_OPTION_STRING, "algorithms, in GnuTLS's notation"},                     \
        {"verify-peer", BLOCK_OPTION_BOOL, "check who the peer is", "on"},                         \
    {                                                                                              \
        "sanity-check", BLOCK_OPTION_BOOL, "look at certificates when loading them; not used"      \
    }

static const BlockOption x509_options[] = {
    COMMON_OPTIONS,
    {"passwordid", BLOCK_OPTION_STRING, "the secret that the key is encrypted with"},
    {NULL},
};
static const BlockOption psk_options[] = {
    COMMON_OPTIONS,
    {"username", BLOCK_OPTION_STRING, "whose key a client uses", "qemu"},
    {NULL},
};
static const BlockOption anonymous_options[] = {COMMON_OPTIONS, {NULL}};

static int create(TlsKind kind, TlsObject *object, const BlockOptions *options,
                  const ObjectList *objects, BlockError *error)
{
    const char *endpoint = block_options_get(options, "endpoint");
    const char *password = block_options_get(options, "passwordid");
    const Secret *secret = password ? secret_find(objects, password, error) : NULL;
    TlsOptions tls = {
        .kind = kind,
        .is_server = endpoint && !strcmp(endpoint, "server"),
        .verify_peer = kind == TLS_X509 && block_option_bool(options, x509_options, "verify-peer"),
        .directory = block_options_get(options, "dir"),
        .username = block_options_get(options, "username"),
        .priority = block_options_get(options, "priority"),
    };

    if (endpoint && strcmp(endpoint, "server") && strcmp(endpoint, "client")) {
        return block_error(error, EINVAL, "endpoint is 'client' or 'server', not '%s'", endpoint);
    }
    if (password && !secret) {
        return -EINVAL;
    }
    if (secret) {
        tls.password = strndup((const char *)secret->bytes, secret->length);
    }
    object->credentials = tls_credentials_new(&tls, error);
    if (tls.password) {
        explicit_bzero(tls.password, strlen(tls.password));
        free(tls.password);
    }
    return object->credentials ? 0 : -EINVAL;
}

static int create_x509(void *state, const BlockOptions *options, const ObjectList *objects,
                       BlockError *error)
{
    return create(TLS_X509, state, options, objects, error);
}

static int create_psk(void *state, const BlockOptions *options, const ObjectList *objects,
                      BlockError *error)
{
    return create(TLS_PSK, state, options, objects, error);
}

static int create_anonymous(void *state, const BlockOptions *options, const ObjectList *objects,
                            BlockError *error)
{
    return create(TLS_ANONYMOUS, state, options, objects, error);
}

static void destroy(void *state)
{
    TlsObject *object = state;

    tls_credentials_free(object->credentials);
}

const ObjectKind object_tls_x509 = {"tls-creds-x509", x509_options, sizeof(TlsObject), create_x509,
                                    destroy};
const ObjectKind object_tls_psk = {"tls-creds-psk", psk_options, sizeof(TlsObject), create_psk,
                                   destroy};
const ObjectKind object_tls_anonymous = {"tls-creds-anon", anonymous_options, sizeof(TlsObject),
                                         create_anonymous, destroy};

const TlsCredentials *tls_credentials_find(const ObjectList *objects, const char *id, bool server,
                                           BlockError *error)
{
    const Object *object = object_find(objects, id, error);

    if (!object) {
        return NULL;
    }
    if (object->kind != &object_tls_x509 && object->kind != &object_tls_psk &&
        object->kind != &object_tls_anonymous) {
        block_error(error, EINVAL, "Object with id '%s' is not TLS credentials", id);
        return NULL;
    }
    const TlsObject *state = object->state;
    if (tls_credentials_for_server(state->credentials) != server) {
        block_error(error, EINVAL, "Expecting TLS credentials with a %s endpoint",
                    server ? "server" : "client");
        return NULL;
    }
    return state->credentials;
}
