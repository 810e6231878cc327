/* Options of the block layer: flat lists of "key=value", and errors with text.
 *
 * A tree is written as dotted keys ("file.driver=nbd"); JSON objects become the same. Values are
 * text until a driver asks for a type, and are wiped when they go, for they may be secret. */
#ifndef BLOCK_OPTIONS_H
#define BLOCK_OPTIONS_H

#include "base/types.h"

/* One line for the user, without program name and newline. */
typedef struct BlockError {
    char text[1024];
} BlockError;

/* Formats the text (if error is not NULL) and returns -code. */
int block_error(BlockError *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before a text that is there already. Returns -code. */
int block_error_prefix(BlockError *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef enum BlockOptionType {
    BLOCK_OPTION_STRING,
    BLOCK_OPTION_BOOL,   /* on/off, yes/no, true/false */
    BLOCK_OPTION_SIZE,   /* bytes; a fraction and a suffix b, K, M, G, T, P, E are understood */
    BLOCK_OPTION_NUMBER, /* decimal or 0x... */
} BlockOptionType;

/* An option that a driver takes; tables end with name == NULL. */
typedef struct BlockOption {
    const char *name;
    BlockOptionType type;
    const char *help;    /* one line */
    const char *initial; /* the value when it is not given; NULL if there is none */
} BlockOption;

typedef struct BlockOptions BlockOptions;
typedef struct ObjectList ObjectList;

BlockOptions *block_options_new(void);
void block_options_free(BlockOptions *options);
BlockOptions *block_options_copy(const BlockOptions *options); /* NULL gives an empty list */

/* The objects that values may name, see object.h; copies have the same. NULL: none. */
void block_options_set_objects(BlockOptions *options, const ObjectList *objects);
const ObjectList *block_options_objects(const BlockOptions *options);
/* An empty list with the objects of another (or NULL). */
BlockOptions *block_options_new_like(const BlockOptions *options);

/* Sets or replaces; value NULL removes. */
void block_options_set(BlockOptions *options, const char *key, const char *value);
void block_options_setf(BlockOptions *options, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value, or NULL. Lives until the key is changed. NULL options are an empty list. */
const char *block_options_get(const BlockOptions *options, const char *key);

/* The index-th pair; false at the end. */
bool block_options_at(const BlockOptions *options, size_t index, const char **key,
                      const char **value);

/* Adds "a=b,c=d,e"; ",," is a comma, a word without "=" is "on" ("no..." is not special). The first
 * word without "=" is the value of `implied` when that is not NULL. */
int block_options_parse(BlockOptions *options, const char *text, const char *implied,
                        BlockError *error);

/* Adds a JSON object: nested keys joined by dots. */
int block_options_parse_json(BlockOptions *options, const char *text, BlockError *error);

/* A new list of the keys that start with "prefix.", without it; with the value of "prefix" itself
 * as "" if there is one. NULL if there are none. */
BlockOptions *block_options_below(const BlockOptions *options, const char *prefix);

/* Complains about a key that is in neither table (either may be NULL), nor below one of `prefixes`
 * (NULL-terminated, may be NULL), unless `who` is NULL; and about values that are not of their
 * type. */
int block_options_check(const BlockOptions *options, const BlockOption *table,
                        const BlockOption *more, const char *const *prefixes, const char *who,
                        BlockError *error);

/* Typed access: the value; else the table's; else 0. For values that block_options_check() passed
 * and tables that name the key (both asserted). */
bool block_option_bool(const BlockOptions *options, const BlockOption *table, const char *key);
u64 block_option_number(const BlockOptions *options, const BlockOption *table, const char *key);
const char *block_option_string(const BlockOptions *options, const BlockOption *table,
                                const char *key);

/* "1.5G" and the like into bytes; 0 or -EINVAL, -ERANGE. */
int block_parse_size(const char *text, u64 *bytes);

#endif
