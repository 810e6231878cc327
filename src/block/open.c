/* Opening, probing, closing: how a file name and options become a tree of nodes.
 *
 * A format is guessed only where the user named none, and then a disk found to be raw is marked
 * (probed_raw), so that raw.c can refuse what would make the next guess another one. Backing files
 * are opened for reading. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/drivers.h"
#include "block/gate.h"
#include "block/layer.h"

enum { MAX_DEPTH = 1000 }; /* of a backing chain */

/* What every node takes; the layer handles these. */
static const BlockOption common_options[] = {
    {"driver", BLOCK_OPTION_STRING, "format, protocol or filter"},
    {"node-name", BLOCK_OPTION_STRING, "a name for this node; not used"},
    {"read-only", BLOCK_OPTION_BOOL, "refuse writing"},
    {"auto-read-only", BLOCK_OPTION_BOOL, "open for reading if writing is not allowed; not used"},
    {"cache.direct", BLOCK_OPTION_BOOL, "go around the host's page cache"},
    {"cache.no-flush", BLOCK_OPTION_BOOL, "ignore flushes"},
    {"cache.writeback", BLOCK_OPTION_BOOL, "do not flush after each write"},
    {"discard", BLOCK_OPTION_STRING, "unmap (on) or ignore (off): what discards do"},
    {"detect-zeroes", BLOCK_OPTION_STRING, "off, on or unmap: look for zeroes in written data"},
    {"force-share", BLOCK_OPTION_BOOL, "tolerate other writers"},
    {"copy-on-read", BLOCK_OPTION_BOOL, "keep what was read from the backing file"},
    {NULL},
};

static const char *const child_prefixes[] = {"file",   "backing", "data-file",
                                             "header", "extents", NULL};

static void set_flag(unsigned *flags, unsigned flag, bool on)
{
    *flags = on ? *flags | flag : *flags & ~flag;
}

bool block_cache_mode(const char *mode, unsigned *flags)
{
    static const struct {
        const char *name;
        unsigned flags;
    } modes[] = {
        {"none", BLOCK_DIRECT},
        {"off", BLOCK_DIRECT},
        {"writeback", 0},
        {"writethrough", BLOCK_WRITETHROUGH},
        {"directsync", BLOCK_DIRECT | BLOCK_WRITETHROUGH},
        {"unsafe", BLOCK_NO_FLUSH},
    };

    for (size_t i = 0; i < COUNT(modes); i++) {
        if (!strcmp(modes[i].name, mode)) {
            *flags &= ~(unsigned)(BLOCK_DIRECT | BLOCK_WRITETHROUGH | BLOCK_NO_FLUSH);
            *flags |= modes[i].flags;
            return true;
        }
    }
    return false;
}

/* Moves the common options out of the list into flags. */
static int take_common(BlockOptions *options, unsigned *flags, BlockError *error)
{
    static const struct {
        const char *name;
        unsigned flag;
        bool inverted;
    } switches[] = {
        {"read-only", BLOCK_WRITE, true},          {"cache.direct", BLOCK_DIRECT, false},
        {"cache.no-flush", BLOCK_NO_FLUSH, false}, {"cache.writeback", BLOCK_WRITETHROUGH, true},
        {"force-share", BLOCK_SHARE, false},       {"copy-on-read", BLOCK_COPY_ON_READ, false},
    };
    const char *value = block_options_get(options, "discard");

    for (size_t i = 0; i < COUNT(switches); i++) {
        if (block_options_get(options, switches[i].name)) {
            bool on = block_option_bool(options, common_options, switches[i].name);
            set_flag(flags, switches[i].flag, on != switches[i].inverted);
        }
    }
    if (value) {
        bool unmap = !strcmp(value, "unmap") || !strcmp(value, "on");
        if (!unmap && strcmp(value, "ignore") && strcmp(value, "off")) {
            return block_error(error, EINVAL, "discard is 'unmap' or 'ignore', not '%s'", value);
        }
        set_flag(flags, BLOCK_UNMAP, unmap);
    }
    value = block_options_get(options, "detect-zeroes");
    if (value) {
        if (strcmp(value, "off") && strcmp(value, "on") && strcmp(value, "unmap")) {
            return block_error(error, EINVAL, "detect-zeroes is 'off', 'on' or 'unmap', not '%s'",
                               value);
        }
        set_flag(flags, BLOCK_DETECT_ZEROES, strcmp(value, "off"));
    }
    for (const BlockOption *common = common_options; common->name; common++) {
        block_options_set(options, common->name, NULL);
    }
    return 0;
}

static BlockNode *node_new(const BlockDriver *driver, const char *filename, unsigned flags)
{
    BlockNode *node = calloc(1, sizeof *node);

    if (node) {
        node->driver = driver;
        node->filename = strdup(filename ? filename : "");
        node->state = calloc(1, MAX(driver->state_size, (size_t)1));
        node->flags = flags;
        node->fd = -1;
        node->alignment = node->memory_alignment = 1;
        block_gate_init(&node->gate);
    }
    if (node && (!node->state || !node->filename)) {
        abort();
    }
    return node;
}

static void node_free(BlockNode *node)
{
    block_gate_destroy(&node->gate);
    free(node->state);
    free(node->filename);
    free(node->backing_filename);
    free(node->backing_format);
    free(node);
}

int block_close(BlockNode *node)
{
    int result = 0;

    if (!node) {
        return 0;
    }
    if (node->flags & BLOCK_WRITE) {
        result = block_flush(node);
    }
    int closed = node->driver->close ? node->driver->close(node) : 0;
    BlockNode *children[] = {node->extra, node->borrows_file ? NULL : node->file, node->backing};
    for (size_t i = 0; i < COUNT(children); i++) {
        int child = block_close(children[i]);
        closed = closed ? closed : child;
    }
    node_free(node);
    return result ? result : closed;
}

/* Calls the driver's open() on the node; frees it with its children on failure. */
static int start(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    const BlockDriver *driver = node->driver;
    char who[80];

    snprintf(who, sizeof who, "driver '%s'", driver->name);
    int result =
        block_options_check(options, driver->open_options, NULL, child_prefixes, who, error);
    if (!result) {
        result = driver->open(node, options, error);
    }
    if (result < 0) {
        block_close(node->extra);
        block_close(node->borrows_file ? NULL : node->file);
        node_free(node);
    }
    return result;
}

const BlockDriver *block_probe(BlockNode *file, const char *filename, BlockError *error)
{
    u8 head[BLOCK_PROBE_SIZE];
    size_t size = MIN(block_size(file), (u64)sizeof head);
    int result = size ? block_pread(file, 0, head, size) : 0;

    if (result < 0) {
        block_error(error, -result, "cannot read '%s' to find its format: %s", filename,
                    strerror(-result));
        return NULL;
    }
    return block_probe_bytes(head, size, filename);
}

const BlockDriver *block_probe_bytes(const u8 *head, size_t size, const char *filename)
{
    const BlockDriver *best = NULL;
    int best_score = 0;

    for (const BlockDriver *const *driver = block_drivers; *driver; driver++) {
        int score = (*driver)->probe ? (*driver)->probe(head, size, filename) : 0;
        if (score > best_score) {
            best = *driver;
            best_score = score;
        }
    }
    assert(best && "raw takes everything");
    return best;
}

const BlockDriver *block_driver_find(const char *name)
{
    for (const BlockDriver *const *driver = block_drivers; *driver; driver++) {
        if (!strcmp((*driver)->name, name)) {
            return *driver;
        }
    }
    return NULL;
}

/* The length of a "protocol" before a colon; 0 if the name is a plain path. */
static size_t protocol_length(const char *filename)
{
    size_t length = strcspn(filename, ":/");

    return filename[length] == ':' ? length : 0;
}

const BlockDriver *block_driver_for_filename(const char *filename, BlockError *error)
{
    size_t length = protocol_length(filename);

    for (const BlockDriver *const *d = block_drivers; *d; d++) {
        if ((*d)->kind != BLOCK_PROTOCOL) {
            continue;
        }
        if (length ? block_driver_takes_scheme(*d, filename, length)
                   : !strcmp((*d)->name, "file")) {
            return *d;
        }
    }
    block_error(error, EINVAL, "unknown protocol '%.*s'", (int)length, filename);
    return NULL;
}

bool block_driver_takes_scheme(const BlockDriver *driver, const char *scheme, size_t length)
{
    const char *const own[] = {driver->name, NULL};

    for (const char *const *name = driver->schemes ? driver->schemes : own; *name; name++) {
        if (strlen(*name) == length && !strncmp(*name, scheme, length)) {
            return true;
        }
    }
    return false;
}

/* Opens a protocol node: `driver` or that of the file name. Owns nothing of options. */
static int open_protocol(BlockNode **node, const BlockDriver *driver, const char *filename,
                         BlockOptions *options, unsigned flags, BlockError *error)
{
    const char *name = filename;

    if (filename) {
        driver = driver ? driver : block_driver_for_filename(filename, error);
        if (!driver) {
            return -EINVAL;
        }
        if (driver->parse_filename) {
            int result = driver->parse_filename(filename, options, error);
            if (result < 0) {
                return result;
            }
        } else {
            block_options_set(options, "filename", filename);
        }
    } else if (!driver) {
        driver = block_driver_find("file");
    }
    name = name ? name : block_options_get(options, "filename");
    BlockNode *opened = node_new(driver, name, flags);
    if (!opened) {
        return block_error(error, ENOMEM, "out of memory");
    }
    int result = start(opened, options, error);
    *node = result < 0 ? NULL : opened;
    return result;
}

int block_open_child(BlockNode **child, const char *filename, const BlockOptions *options,
                     const char *prefix, const BlockDriver *driver, unsigned flags,
                     BlockError *error)
{
    unsigned kept = BLOCK_WRITE | BLOCK_DIRECT | BLOCK_NO_FLUSH | BLOCK_SHARE | BLOCK_NO_LOCK |
                    BLOCK_NO_IO | BLOCK_NO_BACKING;
    BlockOptions *below = block_options_below(options, prefix);

    if (!below && !filename) {
        return block_error(error, EINVAL, "no '%s' given", prefix);
    }
    if (below && filename) {
        filename = NULL; /* options win over the name in the image */
    }
    if (below && block_options_get(below, "")) {
        /* "file=name" is short for "file.filename=name". */
        block_options_set(below, "filename", block_options_get(below, ""));
        block_options_set(below, "", NULL);
    }
    if (driver && !(below && block_options_get(below, "driver"))) {
        below = below ? below : block_options_new_like(options);
        block_options_set(below, "driver", driver->name);
    }
    int result = block_open(child, filename, below, (flags & kept) | BLOCK_UNMAP, error);
    block_options_free(below);
    return result;
}

/* The "file" child of a format or filter. */
static int open_file(BlockNode **file, const BlockDriver *parent, const char *filename,
                     const BlockOptions *options, unsigned flags, BlockError *error)
{
    const BlockDriver *driver = NULL;
    BlockOptions *below = block_options_below(options, "file");
    const char *name = below ? block_options_get(below, "filename") : NULL;

    if (!parent || parent->kind != BLOCK_FILTER) {
        /* Below a format is a protocol, not what the bytes look like. */
        name = below ? (name ? name : block_options_get(below, "")) : filename;
        driver = name ? block_driver_for_filename(name, error) : block_driver_find("file");
        if (!driver) {
            block_options_free(below);
            return -EINVAL;
        }
    }
    block_options_free(below);
    return block_open_child(file, filename, options, "file", driver, flags, error);
}

/* Is the image already open further up? */
static bool is_ancestor(const BlockAncestor *up, const char *filename)
{
    for (; up; up = up->up) {
        if (!strcmp(up->filename, filename)) {
            return true;
        }
    }
    return false;
}

/* Opens what the image or the options say lies below. */
static int open_backing(BlockNode *node, const BlockOptions *options, const BlockAncestor *up,
                        BlockError *error)
{
    BlockOptions *below = block_options_below(options, "backing");
    const char *format = node->backing_format;
    char *path = NULL;
    int result = 0;

    if (below ? block_options_get(below, "") && !*block_options_get(below, "")
              : !node->backing_filename || !*node->backing_filename) {
        block_options_free(below);
        return 0; /* none, or "backing" set to nothing */
    }
    if (!below) {
        below = block_options_new_like(options);
    }
    bool named = block_options_get(below, "filename") || block_options_get(below, "file.filename");
    if (!named && node->backing_filename) {
        path = block_path_beside(block_image_name(node), node->backing_filename);
    }
    if (format && *format && !block_options_get(below, "driver")) {
        block_options_set(below, "driver", format);
    }
    BlockAncestor here = {up, block_image_name(node), up ? up->depth + 1 : 1};
    if (here.depth > MAX_DEPTH ||
        (path && (is_ancestor(up, path) || !strcmp(here.filename, path)))) {
        result = block_error(error, ELOOP, "the backing chain of '%s' does not end", here.filename);
    } else {
        unsigned dropped = BLOCK_WRITE | BLOCK_SNAPSHOT | BLOCK_COPY_ON_READ | BLOCK_DETECT_ZEROES |
                           BLOCK_WRITETHROUGH | BLOCK_REPAIR;
        result =
            block_open_below(&node->backing, path, below, node->flags & ~dropped, &here, error);
        if (result < 0) {
            block_error_prefix(error, -result, "cannot open the backing file of '%s'",
                               here.filename);
        }
    }
    free(path);
    block_options_free(below);
    return result;
}

/* Opens a format or filter on its file. `driver` NULL: probe. */
static int open_format(BlockNode **node, const BlockDriver *driver, const char *filename,
                       const BlockOptions *options, unsigned flags, const BlockAncestor *up,
                       BlockError *error)
{
    BlockNode *file = NULL;
    bool probed = !driver;

    if (!driver || !(driver->traits & BLOCK_OWN_FILE)) {
        int result = open_file(&file, driver, filename, options, flags, error);
        if (result < 0) {
            return result;
        }
    }
    const char *name = filename ? filename : file ? file->filename : "";
    if (probed) {
        driver = block_probe(file, name, error);
        if (!driver) {
            block_close(file);
            return -EIO;
        }
    }
    BlockNode *opened = node_new(driver, name, flags);
    if (!opened) {
        block_close(file);
        return block_error(error, ENOMEM, "out of memory");
    }
    opened->file = file;
    opened->probed_raw = probed && !strcmp(driver->name, "raw");
    int result = start(opened, options, error);
    if (result < 0) {
        return result;
    }
    if ((driver->traits & BLOCK_HAS_BACKING) && !(flags & BLOCK_NO_BACKING)) {
        result = open_backing(opened, options, up, error);
        if (result < 0) {
            block_close(opened);
            return result;
        }
    }
    *node = opened;
    return 0;
}

/* Puts the layers on top that the flags ask for. On failure the node is closed. */
static int add_layers(BlockNode **node, unsigned flags, BlockError *error)
{
    BlockNode *above = NULL;
    int result = 0;

    if (flags & BLOCK_SNAPSHOT) {
        result = block_open_temporary(&above, *node, flags, error);
        *node = result < 0 ? *node : above;
    }
    if (!result && (flags & BLOCK_COPY_ON_READ) && ((*node)->flags & BLOCK_WRITE)) {
        result =
            block_open_over(&above, &block_driver_copy_on_read, *node, NULL, (*node)->flags, error);
        if (!result) {
            above->borrows_file = false;
            *node = above;
        }
    }
    if (result < 0) {
        block_close(*node);
        *node = NULL;
    }
    return result;
}

int block_open_over(BlockNode **node, const BlockDriver *driver, BlockNode *file,
                    const BlockOptions *options, unsigned flags, BlockError *error)
{
    BlockNode *opened = node_new(driver, file->filename, flags);

    if (!opened) {
        return block_error(error, ENOMEM, "out of memory");
    }
    opened->file = file;
    opened->borrows_file = true;
    int result = start(opened, options, error);
    *node = result < 0 ? NULL : opened;
    return result;
}

int block_open_below(BlockNode **node, const char *filename, const BlockOptions *given,
                     unsigned flags, const BlockAncestor *up, BlockError *error)
{
    BlockOptions *options = block_options_copy(given);
    const BlockDriver *driver = NULL;
    int result = 0;

    *node = NULL;
    if (filename && !strncmp(filename, "json:", 5)) {
        result = block_options_parse_json(options, filename + 5, error);
        filename = NULL;
    }
    result =
        result ? result : block_options_check(options, common_options, NULL, NULL, NULL, error);
    const char *name = block_options_get(options, "driver");
    if (!result && name && !(driver = block_driver_find(name))) {
        result = block_error(error, EINVAL, "unknown driver '%s'", name);
    }
    result = result ? result : take_common(options, &flags, error);
    unsigned layers = flags & (BLOCK_SNAPSHOT | BLOCK_COPY_ON_READ);
    unsigned above = flags; /* of the layers on top */
    flags &= ~(unsigned)(BLOCK_COPY_ON_READ | BLOCK_SNAPSHOT);
    if (layers & BLOCK_SNAPSHOT) {
        flags &= ~(unsigned)BLOCK_WRITE;
    }
    if (result < 0) {
        block_options_free(options);
        return result;
    }
    if (driver && driver->kind == BLOCK_PROTOCOL) {
        result = open_protocol(node, driver, filename, options, flags, error);
    } else {
        char *moved = NULL;
        if (!filename && block_options_get(options, "filename")) {
            moved = strdup(block_options_get(options, "filename"));
            block_options_set(options, "filename", NULL);
        }
        result = open_format(node, driver, filename ? filename : moved, options, flags, up, error);
        free(moved);
    }
    block_options_free(options);
    return !result && layers ? add_layers(node, above, error) : result;
}

int block_open(BlockNode **node, const char *filename, const BlockOptions *options, unsigned flags,
               BlockError *error)
{
    return block_open_below(node, filename, options, flags, NULL, error);
}
