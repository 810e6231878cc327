/* Objects: what the command line makes once and options then name, `--object secret,id=sec0,...`
 * and `encrypt.key-secret=sec0`. Secrets, TLS credentials, and whatever else other layers bring.
 *
 * A kind is one const ObjectKind; those of the block layer are listed in object.c, others are given
 * to object_list_new(). A list of objects belongs to who parses the command line. It travels inside
 * BlockOptions (block_options_set_objects()), so that no function needs a parameter for it, and
 * must live as long as these and the nodes that were opened with them.
 *
 * Invariants: an object does not change once it is in the list, and has an id that no other has.
 * Must not print what an object holds. */
#ifndef BLOCK_OBJECT_H
#define BLOCK_OBJECT_H

#include "block/options.h"

typedef struct ObjectList ObjectList;

typedef struct ObjectKind {
    const char *name;           /* what --object says first: "secret" */
    const BlockOption *options; /* besides "qom-type" and "id"; ended by name == NULL */
    size_t state_size;          /* bytes of the object's state, zeroed before create() */

    /* Makes the state of the options, which were checked against the table. Options that name other
     * objects find them in `objects`. On failure destroy() is called, too. */
    int (*create)(void *state, const BlockOptions *options, const ObjectList *objects,
                  BlockError *error);

    /* Wipes and frees what the state refers to; the state itself is wiped by the list. */
    void (*destroy)(void *state);
} ObjectKind;

typedef struct Object {
    const ObjectKind *kind;
    char *id;
    void *state;
} Object;

/* An empty list for objects of the block layer's kinds, and of `more` (NULL-terminated; or NULL).
 */
ObjectList *object_list_new(const ObjectKind *const *more);

/* Destroys the objects, the last one first. NULL is fine. */
void object_list_free(ObjectList *list);

/* Adds what the argument of --object says: "KIND,id=ID,option=value,..." or
 * {"qom-type": KIND, "id": ID, ...}. */
int object_list_add(ObjectList *list, const char *text, BlockError *error);

/* The same from options that are parsed already, "qom-type" and "id" among them. */
int object_list_add_options(ObjectList *list, const BlockOptions *options, BlockError *error);

/* By id; NULL with an error if there is none. NULL is an empty list. */
const Object *object_find(const ObjectList *list, const char *id, BlockError *error);

/* The state of an object that must be of that kind; NULL with an error if it is not or is missing.
 */
const void *object_state(const ObjectList *list, const char *id, const ObjectKind *kind,
                         BlockError *error);

#endif
