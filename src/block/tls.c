/* Loading credentials and shaking hands: see tls.h. */
#include "block/tls.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_KEY_FILE = 1 << 20 };

struct TlsCredentials {
    TlsKind kind;
    bool is_server, verify_peer;
    char *priority;
    gnutls_certificate_credentials_t x509;
    gnutls_psk_client_credentials_t psk_client;
    gnutls_psk_server_credentials_t psk_server;
    gnutls_anon_client_credentials_t anonymous_client;
    gnutls_anon_server_credentials_t anonymous_server;
};

static int failed(BlockError *error, const char *what, const char *path, int code)
{
    return block_error(error, EIO, "cannot load %s from '%s': %s", what, path,
                       gnutls_strerror(code));
}

/* "DIRECTORY/NAME" if that is there, else NULL; missing although `required`: an error, too. */
static char *find_file(const TlsOptions *options, const char *name, bool required,
                       BlockError *error)
{
    char *path;

    if (asprintf(&path, "%s/%s", options->directory, name) < 0) {
        abort();
    }
    if (access(path, R_OK) < 0) {
        if (required || errno != ENOENT) {
            block_error(error, errno, "cannot read TLS credentials '%s': %s", path,
                        strerror(errno));
        }
        free(path);
        return NULL;
    }
    return path;
}

static int load_authority(TlsCredentials *c, const TlsOptions *options, BlockError *error)
{
    bool needed = !c->is_server || c->verify_peer;
    int result = 0;

    if (!options->directory) {
        int found = gnutls_certificate_set_x509_system_trust(c->x509);
        return found >= 0 ? 0 : failed(error, "authorities", "the system's store", found);
    }
    char *path = find_file(options, "ca-cert.pem", needed, error);
    if (!path) {
        return needed ? -EIO : 0;
    }
    int count = gnutls_certificate_set_x509_trust_file(c->x509, path, GNUTLS_X509_FMT_PEM);
    if (count < 0) {
        result = failed(error, "the authority's certificate", path, count);
    }
    free(path);
    path = result ? NULL : find_file(options, "ca-crl.pem", false, NULL);
    if (path) {
        count = gnutls_certificate_set_x509_crl_file(c->x509, path, GNUTLS_X509_FMT_PEM);
        result = count < 0 ? failed(error, "revoked certificates", path, count) : 0;
    }
    free(path);
    return result;
}

/* Our own certificate: servers have one, clients may. */
static int load_own(TlsCredentials *c, const TlsOptions *options, BlockError *error)
{
    const char *role = c->is_server ? "server" : "client";
    char name[32];
    int result = 0;

    if (!options->directory) {
        return 0;
    }
    snprintf(name, sizeof name, "%s-cert.pem", role);
    char *certificate = find_file(options, name, c->is_server, error);
    if (!certificate) {
        return c->is_server ? -EIO : 0;
    }
    snprintf(name, sizeof name, "%s-key.pem", role);
    char *key = find_file(options, name, true, error);
    if (!key) {
        result = -EIO;
    } else {
        int loaded = gnutls_certificate_set_x509_key_file2(
            c->x509, certificate, key, GNUTLS_X509_FMT_PEM, options->password, 0);
        result = loaded < 0 ? failed(error, "the certificate and its key", certificate, loaded) : 0;
    }
    free(certificate);
    free(key);
    return result;
}

static int load_x509(TlsCredentials *c, const TlsOptions *options, BlockError *error)
{
    if (!options->directory && c->is_server) {
        return block_error(error, EINVAL, "a TLS server needs a directory with its certificate");
    }
    gnutls_certificate_allocate_credentials(&c->x509);
    int result = load_authority(c, options, error);
    return result ? result : load_own(c, options, error);
}

/* The key of a user in a file of "user:key" lines, hexadecimal; malloc()ed, or NULL. */
static char *find_key(const char *path, const char *username, BlockError *error)
{
    FILE *file = fopen(path, "re");
    char *line = NULL, *key = NULL;
    size_t room = 0, length = strlen(username), total = 0;
    ssize_t bytes;

    if (!file) {
        block_error(error, errno, "cannot read TLS keys '%s': %s", path, strerror(errno));
        return NULL;
    }
    while (!key && total < LONGEST_KEY_FILE && (bytes = getline(&line, &room, file)) > 0) {
        total += (size_t)bytes;
        if (!strncmp(line, username, length) && line[length] == ':') {
            line[strcspn(line, "\r\n")] = 0;
            key = strdup(line + length + 1);
        }
    }
    explicit_bzero(line, room);
    free(line);
    fclose(file);
    if (!key) {
        block_error(error, ENOENT, "no key for user '%s' in '%s'", username, path);
    }
    return key;
}

static int load_client_key(TlsCredentials *c, const char *path, const char *username,
                           BlockError *error)
{
    char *key = find_key(path, username, error);

    if (!key) {
        return -ENOENT;
    }
    gnutls_datum_t datum = {(u8 *)key, (unsigned)strlen(key)};
    gnutls_psk_allocate_client_credentials(&c->psk_client);
    int code =
        gnutls_psk_set_client_credentials(c->psk_client, username, &datum, GNUTLS_PSK_KEY_HEX);
    explicit_bzero(key, strlen(key));
    free(key);
    return code < 0 ? failed(error, "a key", path, code) : 0;
}

static int load_psk(TlsCredentials *c, const TlsOptions *options, BlockError *error)
{
    char *path;
    int result;

    if (!options->file && !options->directory) {
        return block_error(error, EINVAL, "TLS with shared keys needs a directory with keys.psk");
    }
    path = options->file ? strdup(options->file) : find_file(options, "keys.psk", true, error);
    if (!path) {
        return -EIO;
    }
    if (c->is_server) {
        gnutls_psk_allocate_server_credentials(&c->psk_server);
        int code = gnutls_psk_set_server_credentials_file(c->psk_server, path);
        result = code < 0 ? failed(error, "keys", path, code) : 0;
    } else {
        const char *username = options->username ? options->username : "qemu";
        result = load_client_key(c, path, username, error);
    }
    free(path);
    return result;
}

static int load_anonymous(TlsCredentials *c)
{
    if (c->is_server) {
        gnutls_anon_allocate_server_credentials(&c->anonymous_server);
        gnutls_anon_set_server_known_dh_params(c->anonymous_server, GNUTLS_SEC_PARAM_MEDIUM);
    } else {
        gnutls_anon_allocate_client_credentials(&c->anonymous_client);
    }
    return 0;
}

TlsCredentials *tls_credentials_new(const TlsOptions *options, BlockError *error)
{
    TlsCredentials *c = calloc(1, sizeof *c);
    int result = 0;

    if (!c) {
        abort();
    }
    c->kind = options->kind;
    c->is_server = options->is_server;
    c->verify_peer = options->verify_peer;
    c->priority = options->priority ? strdup(options->priority) : NULL;
    switch (options->kind) {
    case TLS_X509:
        result = load_x509(c, options, error);
        break;
    case TLS_PSK:
        result = load_psk(c, options, error);
        break;
    case TLS_ANONYMOUS:
        result = load_anonymous(c);
        break;
    }
    if (result < 0) {
        tls_credentials_free(c);
        return NULL;
    }
    return c;
}

void tls_credentials_free(TlsCredentials *c)
{
    if (!c) {
        return;
    }
    if (c->x509) {
        gnutls_certificate_free_credentials(c->x509);
    }
    if (c->psk_client) {
        gnutls_psk_free_client_credentials(c->psk_client);
    }
    if (c->psk_server) {
        gnutls_psk_free_server_credentials(c->psk_server);
    }
    if (c->anonymous_client) {
        gnutls_anon_free_client_credentials(c->anonymous_client);
    }
    if (c->anonymous_server) {
        gnutls_anon_free_server_credentials(c->anonymous_server);
    }
    free(c->priority);
    free(c);
}

bool tls_credentials_for_server(const TlsCredentials *c)
{
    return c->is_server;
}

/* Key exchanges that need no certificate are off in GnuTLS unless asked for. */
static int set_priority(const TlsCredentials *c, gnutls_session_t session, BlockError *error)
{
    static const char *const extra[] = {
        [TLS_X509] = NULL,
        [TLS_PSK] = "+ECDHE-PSK:+DHE-PSK:+PSK",
        [TLS_ANONYMOUS] = "+ANON-ECDH:+ANON-DH:-VERS-TLS1.3",
    };
    const char *bad = NULL, *more = extra[c->kind];
    int result;

    if (c->priority) {
        char *text;
        if (asprintf(&text, "%s%s%s", c->priority, more ? ":" : "", more ? more : "") < 0) {
            abort();
        }
        result = gnutls_priority_set_direct(session, text, NULL);
        free(text);
    } else if (more) {
        result = gnutls_set_default_priority_append(session, more, &bad, 0);
    } else {
        result = gnutls_set_default_priority(session);
    }
    return result < 0 ? block_error(error, EINVAL, "cannot set TLS priorities: %s",
                                    gnutls_strerror(result))
                      : 0;
}

static void set_credentials(const TlsCredentials *c, gnutls_session_t session, const char *hostname)
{
    if (c->kind == TLS_PSK) {
        gnutls_credentials_set(session, GNUTLS_CRD_PSK,
                               c->is_server ? (void *)c->psk_server : (void *)c->psk_client);
    } else if (c->kind == TLS_ANONYMOUS) {
        gnutls_credentials_set(session, GNUTLS_CRD_ANON,
                               c->is_server ? (void *)c->anonymous_server
                                            : (void *)c->anonymous_client);
    } else {
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, c->x509);
        if (c->is_server) {
            gnutls_certificate_server_set_request(session, c->verify_peer ? GNUTLS_CERT_REQUIRE
                                                                          : GNUTLS_CERT_IGNORE);
        } else if (hostname) {
            gnutls_server_name_set(session, GNUTLS_NAME_DNS, hostname, strlen(hostname));
        }
        if (c->verify_peer) {
            gnutls_session_set_verify_cert(session, c->is_server ? NULL : hostname, 0);
        }
    }
}

/* Why a handshake failed, with what is wrong with the certificate. */
static int handshake_error(gnutls_session_t session, int code, BlockError *error)
{
    gnutls_datum_t text = {NULL, 0};

    if (code != GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        return block_error(error, EIO, "TLS handshake failed: %s", gnutls_strerror(code));
    }
    gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(session),
                                                 gnutls_certificate_type_get(session), &text, 0);
    block_error(error, EPERM, "TLS: the peer's certificate is not accepted: %s",
                text.data ? (const char *)text.data : "not trusted");
    gnutls_free(text.data);
    return -EPERM;
}

int tls_handshake(const TlsCredentials *c, int fd, const char *hostname, gnutls_session_t *session,
                  BlockError *error)
{
    unsigned side = c->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT;

    if (gnutls_init(session, side | GNUTLS_NO_SIGNAL) < 0) {
        return block_error(error, ENOMEM, "out of memory");
    }
    int result = set_priority(c, *session, error);
    if (!result) {
        int code;
        set_credentials(c, *session, hostname);
        gnutls_transport_set_int(*session, fd);
        do {
            code = gnutls_handshake(*session);
        } while (code < 0 && !gnutls_error_is_fatal(code));
        result = code < 0 ? handshake_error(*session, code, error) : 0;
    }
    if (result < 0) {
        gnutls_deinit(*session);
        *session = NULL;
    }
    return result;
}
