/* TLS with the credentials that qemu's tls-creds-* objects describe: certificates or shared keys in
 * a directory, under fixed names.
 *
 *     tls-creds-x509   ca-cert.pem, ca-crl.pem; server-cert.pem and server-key.pem, or
 *                      client-cert.pem and client-key.pem
 *     tls-creds-psk    keys.psk: lines "user:hexadecimal key"
 *     tls-creds-anon   nothing: encrypted, but with whom is not known
 *
 * Whoever needs a session asks for the handshake and then uses GnuTLS on the session. */
#ifndef BLOCK_TLS_H
#define BLOCK_TLS_H

#include <gnutls/gnutls.h>

#include "block/object.h"

typedef enum TlsKind { TLS_X509, TLS_PSK, TLS_ANONYMOUS } TlsKind;

typedef struct TlsOptions {
    TlsKind kind;
    bool is_server;
    bool verify_peer;      /* x509: the peer must have a certificate of the authority */
    const char *directory; /* NULL: for x509 the system's authorities, clients only */
    const char *file;      /* psk: the key file, in place of directory */
    const char *username;  /* psk clients: whose key; NULL is "qemu" */
    const char *priority;  /* in GnuTLS's notation; NULL: the system's */
    char *password;        /* x509: what the key file is encrypted with; NULL: nothing */
} TlsOptions;

typedef struct TlsCredentials TlsCredentials;

/* Reads the files; NULL with an error that names the file at fault. */
TlsCredentials *tls_credentials_new(const TlsOptions *options, BlockError *error);
/* NULL is fine. No session may use them any more. */
void tls_credentials_free(TlsCredentials *credentials);

bool tls_credentials_for_server(const TlsCredentials *credentials);

/* Makes a session on the socket, shakes hands and checks the peer; blocks meanwhile. `hostname`:
 * clients look that the server's certificate is for it; NULL: they don't. The caller ends the
 * session with gnutls_deinit(). -EPERM when the peer is not who it should be, else -EIO. */
int tls_handshake(const TlsCredentials *credentials, int fd, const char *hostname,
                  gnutls_session_t *session, BlockError *error);

/* The kinds of objects that are credentials (tls_objects.c). */
extern const ObjectKind object_tls_x509, object_tls_psk, object_tls_anonymous;

/* The credentials of that id, for that end; NULL with an error. They live as long as the list. */
const TlsCredentials *tls_credentials_find(const ObjectList *objects, const char *id, bool server,
                                           BlockError *error);

#endif
