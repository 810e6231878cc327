/* The list of objects, and of their kinds: see object.h. */
#include "block/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/secret.h"
#include "block/tls.h"

/* The kinds of the block layer. To add one: a line here. */
static const ObjectKind *const own_kinds[] = {
    &object_secret, &object_tls_anonymous, &object_tls_psk, &object_tls_x509, NULL,
};

/* What every object takes; the list handles these. */
static const BlockOption common_options[] = {
    {"qom-type", BLOCK_OPTION_STRING, "what kind of object it is"},
    {"id", BLOCK_OPTION_STRING, "the name by which options refer to it"},
    {NULL},
};

struct ObjectList {
    const ObjectKind *const *more; /* kinds of other layers, or NULL */
    Object *objects;
    size_t count;
};

static void *checked(void *memory)
{
    if (!memory) {
        fputs("menura: out of memory\n", stderr);
        abort();
    }
    return memory;
}

ObjectList *object_list_new(const ObjectKind *const *more)
{
    ObjectList *list = checked(calloc(1, sizeof *list));

    list->more = more;
    return list;
}

static void destroy(Object *object)
{
    if (object->kind->destroy) {
        object->kind->destroy(object->state);
    }
    explicit_bzero(object->state, object->kind->state_size);
    free(object->state);
    free(object->id);
}

void object_list_free(ObjectList *list)
{
    if (list) {
        while (list->count) {
            destroy(&list->objects[--list->count]);
        }
        free(list->objects);
        free(list);
    }
}

static const ObjectKind *find_kind(const ObjectKind *const *kinds, const char *name)
{
    for (; kinds && *kinds; kinds++) {
        if (!strcmp((*kinds)->name, name)) {
            return *kinds;
        }
    }
    return NULL;
}

static const Object *find(const ObjectList *list, const char *id)
{
    for (size_t i = 0; list && i < list->count; i++) {
        if (!strcmp(list->objects[i].id, id)) {
            return &list->objects[i];
        }
    }
    return NULL;
}

int object_list_add_options(ObjectList *list, const BlockOptions *options, BlockError *error)
{
    const char *name = block_options_get(options, "qom-type");
    const char *id = block_options_get(options, "id");
    char who[80];

    if (!name) {
        return block_error(error, EINVAL, "Parameter 'qom-type' is missing");
    }
    const ObjectKind *kind = find_kind(own_kinds, name);
    kind = kind ? kind : find_kind(list->more, name);
    if (!kind) {
        return block_error(error, EINVAL, "invalid object type: %s", name);
    }
    if (!id || !*id) {
        return block_error(error, EINVAL, "Parameter 'id' is missing");
    }
    if (find(list, id)) {
        return block_error(error, EEXIST, "there is an object '%s' already", id);
    }
    snprintf(who, sizeof who, "object '%s'", kind->name);
    int result = block_options_check(options, kind->options, common_options, NULL, who, error);
    if (result < 0) {
        return result;
    }
    Object object = {kind, checked(strdup(id)),
                     checked(calloc(1, MAX(kind->state_size, (size_t)1)))};
    result = kind->create(object.state, options, list, error);
    if (result < 0) {
        destroy(&object);
        return result;
    }
    list->objects = checked(realloc(list->objects, (list->count + 1) * sizeof *list->objects));
    list->objects[list->count++] = object;
    return 0;
}

int object_list_add(ObjectList *list, const char *text, BlockError *error)
{
    BlockOptions *options = block_options_new();
    int result = *text == '{' ? block_options_parse_json(options, text, error)
                              : block_options_parse(options, text, "qom-type", error);

    result = result ? result : object_list_add_options(list, options, error);
    block_options_free(options);
    return result;
}

const Object *object_find(const ObjectList *list, const char *id, BlockError *error)
{
    const Object *object = find(list, id);

    if (!object) {
        block_error(error, ENOENT, "No object with id '%s'", id);
    }
    return object;
}

const void *object_state(const ObjectList *list, const char *id, const ObjectKind *kind,
                         BlockError *error)
{
    const Object *object = object_find(list, id, error);

    if (object && object->kind != kind) {
        block_error(error, EINVAL, "Object with id '%s' is not a %s", id, kind->name);
        return NULL;
    }
    return object ? object->state : NULL;
}
