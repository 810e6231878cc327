/* Object "secret": a passphrase or key, given on the command line or in a file, perhaps encrypted
 * with another secret.
 *
 * Invariants: the bytes exist once, are wiped when the object goes, and are never printed. */
#ifndef BLOCK_SECRET_H
#define BLOCK_SECRET_H

#include "block/crypto.h"
#include "block/object.h"

typedef struct Secret {
    u8 *bytes;
    size_t length; /* bytes, perhaps 0 */
} Secret;

extern const ObjectKind object_secret;

/* The secret of that id; NULL with an error. Lives as long as the list. */
const Secret *secret_find(const ObjectList *objects, const char *id, BlockError *error);

/* What the oldest encrypted images of QEMU have: AES-128 in CBC mode, with the secret itself as
 * key, cut off or filled up with zeroes; weak. */
int secret_old_cipher(SectorCipher **cipher, const ObjectList *objects, const char *id,
                      BlockError *error);

#endif
