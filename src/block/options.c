/* Options as flat lists of key and value, their types, and error texts: see options.h. */
#include "block/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Pair {
    char *key, *value;
} Pair;

struct BlockOptions {
    Pair *pairs; /* in the order in which they were first set */
    size_t count, room;
    const ObjectList *objects; /* not owned; or NULL */
};

static void *checked(void *memory)
{
    if (!memory) {
        fputs("menura: out of memory\n", stderr);
        abort();
    }
    return memory;
}

int block_error(BlockError *error, int code, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return -code;
}

int block_error_prefix(BlockError *error, int code, const char *format, ...)
{
    if (error) {
        BlockError old = *error;
        va_list args;
        va_start(args, format);
        int length = vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
        if (length >= 0 && (size_t)length < sizeof error->text) {
            size_t room = sizeof error->text - (size_t)length;
            snprintf(error->text + length, room, ": %.*s", (int)room, old.text);
        }
    }
    return -code;
}

BlockOptions *block_options_new(void)
{
    return checked(calloc(1, sizeof(BlockOptions)));
}

/* Values may be secret: they leave no copy behind. */
static void drop_value(char *value)
{
    explicit_bzero(value, strlen(value));
    free(value);
}

void block_options_free(BlockOptions *options)
{
    if (options) {
        for (size_t i = 0; i < options->count; i++) {
            free(options->pairs[i].key);
            drop_value(options->pairs[i].value);
        }
        free(options->pairs);
        free(options);
    }
}

void block_options_set_objects(BlockOptions *options, const ObjectList *objects)
{
    options->objects = objects;
}

const ObjectList *block_options_objects(const BlockOptions *options)
{
    return options ? options->objects : NULL;
}

BlockOptions *block_options_new_like(const BlockOptions *options)
{
    BlockOptions *like = block_options_new();

    like->objects = block_options_objects(options);
    return like;
}

BlockOptions *block_options_copy(const BlockOptions *options)
{
    BlockOptions *copy = block_options_new_like(options);
    const char *key, *value;

    for (size_t i = 0; block_options_at(options, i, &key, &value); i++) {
        block_options_set(copy, key, value);
    }
    return copy;
}

static Pair *find(const BlockOptions *options, const char *key)
{
    for (size_t i = 0; options && i < options->count; i++) {
        if (!strcmp(options->pairs[i].key, key)) {
            return &options->pairs[i];
        }
    }
    return NULL;
}

void block_options_set(BlockOptions *options, const char *key, const char *value)
{
    Pair *pair = find(options, key);

    if (pair && value) {
        char *copy = checked(strdup(value));
        drop_value(pair->value);
        pair->value = copy;
    } else if (pair) {
        free(pair->key);
        drop_value(pair->value);
        Pair *end = options->pairs + --options->count;
        memmove(pair, pair + 1, (size_t)((char *)end - (char *)pair));
    } else if (value) {
        if (options->count == options->room) {
            options->room = options->room * 2 + 8;
            options->pairs = checked(realloc(options->pairs, options->room * sizeof(Pair)));
        }
        options->pairs[options->count++] = (Pair){checked(strdup(key)), checked(strdup(value))};
    }
}

void block_options_setf(BlockOptions *options, const char *key, const char *format, ...)
{
    char *value;
    va_list args;

    va_start(args, format);
    if (vasprintf(&value, format, args) < 0) {
        value = NULL;
    }
    va_end(args);
    block_options_set(options, key, checked(value));
    free(value);
}

const char *block_options_get(const BlockOptions *options, const char *key)
{
    const Pair *pair = find(options, key);

    return pair ? pair->value : NULL;
}

bool block_options_at(const BlockOptions *options, size_t index, const char **key,
                      const char **value)
{
    if (!options || index >= options->count) {
        return false;
    }
    *key = options->pairs[index].key;
    *value = options->pairs[index].value;
    return true;
}

/* Copies one word up to an unescaped comma; ",," is a comma. Returns where the next word starts,
 * or NULL at the end. */
static const char *split_word(const char *text, char *word)
{
    for (; *text; text++) {
        if (*text == ',') {
            if (text[1] != ',') {
                *word = 0;
                return text + 1;
            }
            text++;
        }
        *word++ = *text;
    }
    *word = 0;
    return NULL;
}

int block_options_parse(BlockOptions *options, const char *text, const char *implied,
                        BlockError *error)
{
    size_t room = strlen(text) + 1;
    char *word = checked(malloc(room));
    int result = 0;

    for (bool first = true; text; first = false) {
        text = split_word(text, word);
        char *value = strchr(word, '=');
        if (!*word) {
            continue;
        }
        if (value == word) {
            result = block_error(error, EINVAL, "an option without a name before '='");
            break;
        }
        if (value) {
            *value++ = 0;
            block_options_set(options, word, value);
        } else if (first && implied) {
            block_options_set(options, implied, word);
        } else {
            block_options_set(options, word, "on");
        }
    }
    explicit_bzero(word, room);
    free(word);
    return result;
}

/* Adds a JSON value under the key; containers add their members under "key.member". */
static void add_json(BlockOptions *options, const char *key, json_object *value)
{
    char *below;

    switch (json_object_get_type(value)) {
    case json_type_object: {
        json_object_object_foreach(value, name, member)
        {
            checked(asprintf(&below, "%s%s%s", key, *key ? "." : "", name) < 0 ? NULL : below);
            add_json(options, below, member);
            free(below);
        }
        break;
    }
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            checked(asprintf(&below, "%s.%zu", key, i) < 0 ? NULL : below);
            add_json(options, below, json_object_array_get_idx(value, i));
            free(below);
        }
        break;
    case json_type_boolean:
        block_options_set(options, key, json_object_get_boolean(value) ? "on" : "off");
        break;
    case json_type_null:
        block_options_set(options, key, "");
        break;
    default:
        block_options_set(options, key, json_object_get_string(value));
    }
}

int block_options_parse_json(BlockOptions *options, const char *text, BlockError *error)
{
    enum json_tokener_error why;
    json_object *object = json_tokener_parse_verbose(text, &why);

    if (!json_object_is_type(object, json_type_object)) {
        json_object_put(object);
        return block_error(error, EINVAL, "cannot parse the JSON options: %s",
                           why == json_tokener_success ? "not an object"
                                                       : json_tokener_error_desc(why));
    }
    add_json(options, "", object);
    json_object_put(object);
    return 0;
}

BlockOptions *block_options_below(const BlockOptions *options, const char *prefix)
{
    BlockOptions *below = NULL;
    size_t length = strlen(prefix);
    const char *key, *value;

    for (size_t i = 0; block_options_at(options, i, &key, &value); i++) {
        if (strncmp(key, prefix, length) || (key[length] && key[length] != '.')) {
            continue;
        }
        below = below ? below : block_options_new_like(options);
        block_options_set(below, key[length] ? key + length + 1 : "", value);
    }
    return below;
}

static const BlockOption *table_find(const BlockOption *table, const char *key)
{
    for (; table && table->name; table++) {
        if (!strcmp(table->name, key)) {
            return table;
        }
    }
    return NULL;
}

/* -1 if the word is not a truth value. */
static int parse_bool(const char *word)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "n", "y"};

    for (int i = 0; i < (int)COUNT(words); i++) {
        if (!strcmp(word, words[i])) {
            return i & 1;
        }
    }
    return -1;
}

static bool parse_number(const char *text, u64 *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 0);
    return isdigit((unsigned char)*text) && !*end && !errno;
}

static const char *const type_names[] = {
    [BLOCK_OPTION_BOOL] = "'on' or 'off'",
    [BLOCK_OPTION_SIZE] = "a size such as 512, 64K or 1.5G",
    [BLOCK_OPTION_NUMBER] = "a number",
};

static bool fits(const BlockOption *option, const char *value)
{
    u64 number;

    switch (option->type) {
    case BLOCK_OPTION_BOOL:
        return parse_bool(value) >= 0;
    case BLOCK_OPTION_SIZE:
        return !block_parse_size(value, &number);
    case BLOCK_OPTION_NUMBER:
        return parse_number(value, &number);
    case BLOCK_OPTION_STRING:
        return true;
    }
    return false;
}

static bool below_any(const char *key, const char *const *prefixes)
{
    for (; prefixes && *prefixes; prefixes++) {
        size_t length = strlen(*prefixes);
        if (!strncmp(key, *prefixes, length) && (!key[length] || key[length] == '.')) {
            return true;
        }
    }
    return false;
}

int block_options_check(const BlockOptions *options, const BlockOption *table,
                        const BlockOption *more, const char *const *prefixes, const char *who,
                        BlockError *error)
{
    const char *key, *value;

    for (size_t i = 0; block_options_at(options, i, &key, &value); i++) {
        const BlockOption *option = table_find(table, key);
        option = option ? option : table_find(more, key);
        if (!option && (!who || below_any(key, prefixes))) {
            continue;
        }
        if (!option) {
            return block_error(error, EINVAL, "%s has no option '%s'", who, key);
        }
        if (!fits(option, value)) {
            return block_error(error, EINVAL, "option '%s' takes %s, not '%s'", key,
                               type_names[option->type], value);
        }
    }
    return 0;
}

/* The text of an option's value, or of its initial one; NULL if there is neither. */
static const char *value_of(const BlockOptions *options, const BlockOption *table, const char *key)
{
    const BlockOption *option = table_find(table, key);
    const char *value = block_options_get(options, key);

    assert(option && "the option is in the driver's table");
    return value ? value : option->initial;
}

bool block_option_bool(const BlockOptions *options, const BlockOption *table, const char *key)
{
    const char *value = value_of(options, table, key);

    return value && parse_bool(value) > 0;
}

u64 block_option_number(const BlockOptions *options, const BlockOption *table, const char *key)
{
    const char *value = value_of(options, table, key);
    u64 number = 0;

    if (value && !parse_number(value, &number)) {
        block_parse_size(value, &number);
    }
    return number;
}

const char *block_option_string(const BlockOptions *options, const BlockOption *table,
                                const char *key)
{
    return value_of(options, table, key);
}

int block_parse_size(const char *text, u64 *bytes)
{
    static const char suffixes[] = "bkmgtpe";
    char *end;
    unsigned shift = 0;

    if (!isdigit((unsigned char)*text)) {
        return -EINVAL;
    }
    errno = 0;
    u64 whole = strtoull(text, &end, 0);
    if (errno) {
        return -ERANGE;
    }
    double fraction = 0;
    if (*end == '.') {
        if (!isdigit((unsigned char)end[1])) {
            return -EINVAL;
        }
        fraction = strtod(end, &end);
    }
    const char *suffix = *end ? strchr(suffixes, tolower((unsigned char)*end)) : NULL;
    if (suffix) {
        shift = 10 * (unsigned)(suffix - suffixes);
        end++;
    }
    if (*end || (fraction > 0 && !shift)) {
        return -EINVAL;
    }
    u64 part = (u64)(fraction * (double)(1ull << shift));
    if (whole > (UINT64_MAX >> shift) || (whole << shift) > UINT64_MAX - part) {
        return -ERANGE;
    }
    *bytes = (whole << shift) + part;
    return 0;
}
