/* Format "vmdk": VMware's disks: monolithic or split, sparse or flat, stream-optimised; overlays
 * with a parent. See vmdk.h. */
#include "block/vmdk.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/drivers.h"

enum { PARENT_NONE = -1 };
#define SPLIT_BYTES ((u64)0x7fe00000) /* of each extent of split disks */

typedef struct Vmdk {
    VmdkExtent *extents; /* owned */
    u32 count;
    u32 cid, parent_cid;
    char type[64];
    char *text;           /* the descriptor, NUL-terminated; owned */
    u64 text_offset;      /* bytes, in node->file */
    _Atomic(bool) marked; /* the CID has changed since opening, as it must at the first write */
    pthread_mutex_t lock; /* of the change */
} Vmdk;

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"backing_file", BLOCK_OPTION_STRING, "File name of a base image"},
    {"backing_fmt", BLOCK_OPTION_STRING, "Must be 'vmdk' if present"},
    {"adapter_type", BLOCK_OPTION_STRING,
     "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX", "ide"},
    {"compat6", BLOCK_OPTION_BOOL, "VMDK version 6 image", "off"},
    {"hwversion", BLOCK_OPTION_STRING, "VMDK hardware version"},
    {"toolsversion", BLOCK_OPTION_STRING, "VMware guest tools version", "2147483647"},
    {"subformat", BLOCK_OPTION_STRING,
     "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
     "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized}",
     "monolithicSparse"},
    {"zeroed_grain", BLOCK_OPTION_BOOL, "Enable efficient zero writes using the zeroed-grain GTE",
     "off"},
    {NULL},
};

/* -- Probing */

static bool is_descriptor(const char *text, size_t size)
{
    const char *end = text + size;

    while (text < end) {
        if (*text == '#') {
            while (text < end && *text++ != '\n') {
            }
        } else if (*text == ' ' || *text == '\r' || *text == '\n') {
            text++;
        } else {
            return end - text >= 9 &&
                   (!strncmp(text, "version=1", 9) || !strncmp(text, "version=2", 9) ||
                    !strncmp(text, "version=3", 9));
        }
    }
    return false;
}

static int vmdk_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    if (size >= 4 && (!memcmp(head, "KDMV", 4) || !memcmp(head, "COWD", 4))) {
        return 100;
    }
    return size && *head == '#' && is_descriptor((const char *)head, size) ? 100 : 0;
}

/* -- Opening */

static VmdkExtent *add_extent(Vmdk *v)
{
    VmdkExtent *more = realloc(v->extents, (v->count + 1) * sizeof *more);

    if (!more) {
        return NULL;
    }
    v->extents = more;
    memset(&v->extents[v->count], 0, sizeof *more);
    return &v->extents[v->count];
}

static void close_extents(Vmdk *v)
{
    for (u32 n = 0; n < v->count; n++) {
        vmdk_close_extent(&v->extents[n]);
        if (v->extents[n].own_file) {
            block_close(v->extents[n].file);
        }
    }
    free(v->extents);
    free(v->text);
}

/* Opens one line's extent; the memory of extents is reserved, so that trees don't move. */
static int open_line(BlockNode *node, Vmdk *v, const VmdkLine *line, const BlockOptions *options,
                     BlockError *error)
{
    VmdkExtent *e = &v->extents[v->count];
    char prefix[32], *name;
    int result = 0;

    *e = (VmdkExtent){.kind = line->kind, .start = node->size};
    if (line->kind != VMDK_ZERO) {
        snprintf(prefix, sizeof prefix, "extents.%u", v->count);
        name = block_path_beside(block_image_name(node), line->name);
        result = block_open_child(&e->file, name, options, prefix, &block_driver_file, node->flags,
                                  error);
        free(name);
        e->own_file = result >= 0;
    }
    if (result >= 0 && line->kind == VMDK_SPARSE) {
        result = vmdk_open_sparse(node, e, error);
        if (result < 0) {
            block_close(e->file);
            return result;
        }
    }
    if (result < 0) {
        return result;
    }
    e->size = line->sectors * VMDK_SECTOR;
    e->flat_offset = line->offset * VMDK_SECTOR;
    e->tree.below = e->start;
    v->count++;
    node->size += e->size;
    if (line->kind == VMDK_FLAT && e->flat_offset + e->size > block_size(e->file)) {
        return block_error(error, EINVAL, "the VMDK extent '%s' is shorter than it should be",
                           line->name);
    }
    return 0;
}

static int use_descriptor(BlockNode *node, Vmdk *v, VmdkDescriptor *d, BlockError *error)
{
    v->cid = d->cid;
    v->parent_cid = d->parent_cid;
    strcpy(v->type, d->type);
    if (*d->parent) {
        node->backing_filename = strdup(d->parent);
        node->backing_format = strdup("vmdk");
    }
    return node->size > INT64_MAX ? block_error(error, EFBIG, "the VMDK disk is too large") : 0;
}

static int read_text(BlockNode *node, Vmdk *v, u64 offset, u64 size, BlockError *error)
{
    int result;

    if (size > VMDK_DESCRIPTOR_MAX) {
        return block_error(error, EINVAL, "the VMDK descriptor is too long");
    }
    v->text = calloc(1, size + 1);
    v->text_offset = offset;
    result = v->text ? block_read_exact(node->file, offset, v->text, size) : -ENOMEM;
    return result < 0 ? block_error(error, -result, "cannot read the VMDK descriptor: %s",
                                    strerror(-result))
                      : 0;
}

/* A descriptor that is a file of its own. */
static int open_text(BlockNode *node, Vmdk *v, const BlockOptions *options, BlockError *error)
{
    VmdkDescriptor d;
    int result = read_text(node, v, 0, block_size(node->file), error);

    result = result < 0 ? result : vmdk_parse_descriptor(v->text, &d, error);
    if (result < 0) {
        return result;
    }
    v->extents = calloc(d.count, sizeof *v->extents);
    result = v->extents ? 0 : block_error(error, ENOMEM, "no memory for VMDK extents");
    for (u32 n = 0; n < d.count && result >= 0; n++) {
        result = open_line(node, v, &d.lines[n], options, error);
    }
    result = result < 0 ? result : use_descriptor(node, v, &d, error);
    free(d.lines);
    return result;
}

/* One sparse extent with the descriptor in it, or without any. */
static int open_monolithic(BlockNode *node, Vmdk *v, BlockError *error)
{
    VmdkExtent *e = add_extent(v);
    VmdkDescriptor d;
    int result;

    if (!e) {
        return block_error(error, ENOMEM, "no memory for VMDK extents");
    }
    e->file = node->file;
    result = vmdk_open_sparse(node, e, error);
    if (result < 0) {
        return result;
    }
    v->count = 1;
    node->size = e->size;
    v->parent_cid = (u32)PARENT_NONE;
    if (!e->descriptor_offset) {
        strcpy(v->type, "monolithicSparse");
        return 0;
    }
    result = read_text(node, v, e->descriptor_offset, e->descriptor_size, error);
    result = result < 0 ? result : vmdk_parse_descriptor(v->text, &d, error);
    if (result >= 0) {
        result = use_descriptor(node, v, &d, error);
        free(d.lines);
    }
    return result;
}

static int vmdk_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    Vmdk *v = node->state;
    u8 magic[4] = "";
    int result = block_pread(node->file, 0, magic, MIN(sizeof magic, block_size(node->file)));

    if (result < 0) {
        return block_error(error, -result, "cannot read the VMDK image: %s", strerror(-result));
    }
    node->alignment = VMDK_SECTOR;
    if (!memcmp(magic, "KDMV", 4) || !memcmp(magic, "COWD", 4)) {
        result = open_monolithic(node, v, error);
    } else if (*magic == '#') {
        result = open_text(node, v, options, error);
    } else {
        result = block_error(error, EINVAL, "not a VMDK image");
    }
    if (result < 0) {
        close_extents(v);
        return result;
    }
    pthread_mutex_init(&v->lock, NULL);
    return 0;
}

static int vmdk_close(BlockNode *node)
{
    Vmdk *v = node->state;

    close_extents(v);
    pthread_mutex_destroy(&v->lock);
    return 0;
}

static int vmdk_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    Vmdk *v = node->state;
    int result = 0;

    for (u32 n = 0; n < v->count && result >= 0; n++) {
        if (v->extents[n].own_file) {
            result = block_reopen(v->extents[n].file, flags, error);
        }
    }
    return result;
}

/* -- Data */

static VmdkExtent *extent_at(const Vmdk *v, u64 offset)
{
    for (u32 n = 0; n < v->count; n++) {
        if (offset - v->extents[n].start < v->extents[n].size) {
            return &v->extents[n];
        }
    }
    return NULL;
}

static int vmdk_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    int result = 0;

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        VmdkExtent *e = extent_at(node->state, offset + at);
        u64 inside = offset + at - e->start;
        BlockVector part = block_vector_part(data, at, MIN(data->bytes - at, e->size - inside));

        if (e->kind == VMDK_FLAT) {
            result = block_readv(e->file, e->flat_offset + inside, &part);
        } else if (e->kind == VMDK_SPARSE) {
            result = block_tree_read(node, &e->tree, inside, &part);
        } else {
            block_vector_clear(&part);
        }
        at += part.bytes;
    }
    return result;
}

/* The content ID must differ once the disk has been written, so that overlays notice. */
static int change_cid(BlockNode *node, Vmdk *v)
{
    char *digits = v->text ? vmdk_find_cid(v->text) : NULL, text[9];
    int result = 0;

    pthread_mutex_lock(&v->lock);
    if (!v->marked && digits) {
        v->cid = v->cid == 0xfffffffe ? 1 : v->cid + 1;
        snprintf(text, sizeof text, "%08x", v->cid);
        memcpy(digits, text, 8);
        result = block_pwrite(node->file, v->text_offset + (u64)(digits - v->text), text, 8, 0);
    }
    v->marked = result >= 0;
    pthread_mutex_unlock(&v->lock);
    return result;
}

static int write_sparse(BlockNode *node, VmdkExtent *e, u64 inside, const BlockVector *part,
                        unsigned flags)
{
    u32 size = e->tree.cluster_size;

    if (!e->compressed) {
        return flags & BLOCK_COMPRESSED ? -ENOTSUP
                                        : block_tree_write(node, &e->tree, inside, part, flags);
    }
    if (inside % size || (part->bytes % size && inside + part->bytes != e->size)) {
        return -EIO; /* compressed grains are written once and whole */
    }
    for (size_t at = 0; at < part->bytes; at += size) {
        BlockVector grain = block_vector_part(part, at, MIN(size, part->bytes - at));
        int result = vmdk_write_compressed(node, e, inside + at, &grain);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

static int vmdk_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    Vmdk *v = node->state;
    int result = v->marked ? 0 : change_cid(node, v);

    for (size_t at = 0; at < data->bytes && result >= 0;) {
        VmdkExtent *e = extent_at(v, offset + at);
        u64 inside = offset + at - e->start;
        BlockVector part = block_vector_part(data, at, MIN(data->bytes - at, e->size - inside));

        if (e->kind == VMDK_FLAT) {
            result = flags & BLOCK_COMPRESSED
                         ? -ENOTSUP
                         : block_writev(e->file, e->flat_offset + inside, &part, flags);
        } else if (e->kind == VMDK_SPARSE) {
            result = write_sparse(node, e, inside, &part, flags);
        } else {
            result = -EIO;
        }
        at += part.bytes;
    }
    return result;
}

static int vmdk_flush(BlockNode *node)
{
    Vmdk *v = node->state;
    int result = block_flush(node->file);

    for (u32 n = 0; n < v->count && result >= 0; n++) {
        result = v->extents[n].own_file ? block_flush(v->extents[n].file) : 0;
    }
    return result;
}

static int vmdk_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    VmdkExtent *e = extent_at(node->state, offset);
    u64 inside = offset - e->start;

    bytes = MIN(bytes, e->size - inside);
    if (e->kind == VMDK_SPARSE) {
        return block_tree_map(node, &e->tree, inside, bytes, extent);
    }
    *extent = (BlockExtent){.flags = BLOCK_ZERO | BLOCK_ALLOCATED, .bytes = bytes};
    if (e->kind == VMDK_FLAT) {
        extent->flags = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_OFFSET | BLOCK_LOOK_BELOW;
        extent->file = e->file;
        extent->offset = e->flat_offset + inside;
    }
    return 0;
}

static int vmdk_check(BlockNode *node, unsigned fix, BlockCheck *check, BlockError *error)
{
    Vmdk *v = node->state;

    (void)fix; /* what is lost stays lost */
    return vmdk_check_extents(node, v->extents, v->count, check, error);
}

/* -- Creating */

typedef struct Creation {
    BlockNode *file;
    const char *filename, *type, *backing;
    const BlockOptions *options;
    u64 size;
    u32 parent_cid;
    bool flat, split, compressed, zero_grains;
} Creation;

static bool parse_type(Creation *c)
{
    c->flat = !strcmp(c->type, "monolithicFlat") || !strcmp(c->type, "twoGbMaxExtentFlat");
    c->split = !strncmp(c->type, "twoGbMaxExtent", 14);
    c->compressed = !strcmp(c->type, "streamOptimized");
    return c->flat || c->compressed || !strcmp(c->type, "monolithicSparse") ||
           !strcmp(c->type, "twoGbMaxExtentSparse");
}

static char *make_text(const Creation *c, const char *lines)
{
    const char *hardware = block_option_string(c->options, create_options, "hwversion");
    VmdkText text = {
        .parent_cid = c->parent_cid,
        .type = c->type,
        .parent = c->backing,
        .lines = lines,
        .hardware = hardware                                                   ? hardware
                    : block_option_bool(c->options, create_options, "compat6") ? "6"
                                                                               : "4",
        .tools = block_option_string(c->options, create_options, "toolsversion"),
        .adapter = block_option_string(c->options, create_options, "adapter_type"),
        .sectors = c->size / VMDK_SECTOR,
    };

    if (getrandom(&text.cid, sizeof text.cid, 0) < 0) {
        text.cid = 1;
    }
    text.cid = text.cid == 0xffffffff ? 1 : text.cid;
    return vmdk_make_descriptor(&text);
}

static const char *last_part(const char *filename)
{
    const char *slash = strrchr(filename, '/');

    return slash ? slash + 1 : filename;
}

static int create_monolithic(const Creation *c, BlockError *error)
{
    char *line, *text;
    int result;

    if (asprintf(&line, "RW %llu SPARSE \"%s\"\n", (unsigned long long)(c->size / VMDK_SECTOR),
                 last_part(c->filename)) < 0) {
        return block_error(error, ENOMEM, "no memory");
    }
    text = make_text(c, line);
    result = text ? vmdk_create_sparse(c->file, c->size, c->compressed, c->zero_grains, text, error)
                  : block_error(error, ENOMEM, "no memory");
    free(line);
    free(text);
    return result;
}

/* Name of extent n beside the descriptor: disk-flat.vmdk, disk-f001.vmdk, disk-s001.vmdk. */
static char *extent_name(const Creation *c, unsigned n)
{
    const char *name = last_part(c->filename), *dot = strrchr(name, '.');
    int stem = dot ? (int)(dot - name) : (int)strlen(name);
    char *result;
    int length = c->split ? asprintf(&result, "%.*s-%c%03u%s", stem, name, c->flat ? 'f' : 's',
                                     n + 1, dot ? dot : "")
                          : asprintf(&result, "%.*s-flat%s", stem, name, dot ? dot : "");

    return length < 0 ? NULL : result;
}

static int create_extent(const Creation *c, const char *name, u64 size, BlockError *error)
{
    char *path = block_path_beside(c->filename, name);
    BlockNode *file = NULL;
    int result = block_create_file(&file, path, c->options, error), closed;

    if (result >= 0) {
        result = c->flat ? block_truncate(file, size, BLOCK_PREALLOC_OFF, error)
                         : vmdk_create_sparse(file, size, false, c->zero_grains, NULL, error);
    }
    closed = block_close(file);
    free(path);
    return result < 0 ? result : closed;
}

static int create_extents(const Creation *c, FILE *lines, BlockError *error)
{
    u64 step = c->split ? SPLIT_BYTES : MAX(c->size, (u64)1);
    int result = 0;

    for (u64 at = 0, n = 0; (at < c->size || n == 0) && result >= 0; at += step, n++) {
        u64 size = MIN(step, c->size - at);
        char *name = extent_name(c, (unsigned)n);

        result = name ? create_extent(c, name, size, error) : -ENOMEM;
        fprintf(lines, "RW %llu %s \"%s\"%s\n", (unsigned long long)(size / VMDK_SECTOR),
                c->flat ? "FLAT" : "SPARSE", name ? name : "", c->flat ? " 0" : "");
        free(name);
    }
    return result;
}

static int create_described(const Creation *c, BlockError *error)
{
    char *lines = NULL, *text = NULL;
    size_t size;
    FILE *out = open_memstream(&lines, &size);
    int result;

    if (!out) {
        return block_error(error, ENOMEM, "no memory");
    }
    result = create_extents(c, out, error);
    fclose(out);
    if (result >= 0) {
        text = make_text(c, lines);
        result = text ? block_pwrite(c->file, 0, text, strlen(text), 0) : -ENOMEM;
        if (result < 0) {
            result = block_error(error, -result, "cannot write: %s", strerror(-result));
        }
    }
    free(lines);
    free(text);
    return result;
}

/* An overlay remembers the content ID of its parent. */
static int find_parent(Creation *c, BlockError *error)
{
    BlockOptions *options;
    BlockNode *parent;
    char *path;
    int result;

    c->parent_cid = (u32)PARENT_NONE;
    if (!c->backing) {
        return 0;
    }
    if (c->flat || c->compressed) {
        return block_error(error, ENOTSUP, "VMDK disks of type %s can't have a parent", c->type);
    }
    options = block_options_new();
    block_options_set(options, "driver", "vmdk");
    path = block_path_beside(c->filename, c->backing);
    result =
        block_open(&parent, path, options, BLOCK_SHARE | BLOCK_NO_IO | BLOCK_NO_BACKING, error);
    if (result >= 0) {
        c->parent_cid = ((Vmdk *)block_skip_filters(parent)->state)->cid;
        block_close(parent);
    }
    free(path);
    block_options_free(options);
    return result;
}

static int vmdk_create(BlockNode *file, const char *filename, const BlockOptions *options,
                       BlockError *error)
{
    static const char *const adapters[] = {"ide", "lsilogic", "buslogic", "legacyESX"};
    const char *adapter = block_option_string(options, create_options, "adapter_type");
    Creation c = {
        .file = file,
        .filename = filename,
        .options = options,
        .type = block_option_string(options, create_options, "subformat"),
        .backing = block_option_string(options, create_options, "backing_file"),
        .size = ALIGN_UP(block_option_number(options, create_options, "size"), (u64)VMDK_SECTOR),
        .zero_grains = block_option_bool(options, create_options, "zeroed_grain"),
    };
    bool known = false;
    int result;

    for (size_t n = 0; n < COUNT(adapters); n++) {
        known |= !strcmp(adapter, adapters[n]);
    }
    if (!known) {
        return block_error(error, EINVAL, "unknown adapter type '%s'", adapter);
    }
    if (!parse_type(&c)) {
        return block_error(error, EINVAL, "unknown VMDK subformat '%s'", c.type);
    }
    result = find_parent(&c, error);
    if (result < 0) {
        return result;
    }
    return c.flat || c.split ? create_described(&c, error) : create_monolithic(&c, error);
}

/* -- The rest */

/* As qemu-img prints them; the extent that holds the descriptor has no format of its own. */
static struct json_object *extent_information(const VmdkExtent *e)
{
    struct json_object *data = json_object_new_object();
    const char *format = e->kind == VMDK_FLAT ? "FLAT" : e->kind == VMDK_ZERO ? "ZERO" : "SPARSE";

    if (e->compressed) {
        json_object_object_add(data, "compressed", json_object_new_boolean(true));
    }
    json_object_object_add(data, "virtual-size", json_object_new_uint64(e->size));
    if (e->file) {
        json_object_object_add(data, "filename", json_object_new_string(block_filename(e->file)));
    }
    if (e->kind == VMDK_SPARSE) {
        json_object_object_add(data, "cluster-size", json_object_new_int64(e->tree.cluster_size));
    }
    json_object_object_add(data, "format",
                           json_object_new_string(e->own_file || !e->file ? format : ""));
    return data;
}

static int vmdk_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    Vmdk *v = node->state;
    struct json_object *data = json_object_new_object();
    struct json_object *extents = json_object_new_array();

    (void)error;
    info->cluster_size =
        v->count && v->extents[0].kind == VMDK_SPARSE ? v->extents[0].tree.cluster_size : 0;
    info->compressed = v->count && v->extents[0].compressed ? "zlib" : NULL;
    info->needs_compressed = info->compressed;
    json_object_object_add(data, "cid", json_object_new_int64(v->cid));
    json_object_object_add(data, "parent-cid", json_object_new_int64(v->parent_cid));
    json_object_object_add(data, "create-type", json_object_new_string(v->type));
    for (u32 n = 0; n < v->count; n++) {
        json_object_array_add(extents, extent_information(&v->extents[n]));
    }
    json_object_object_add(data, "extents", extents);
    info->specific = json_object_new_object();
    json_object_object_add(info->specific, "type", json_object_new_string("vmdk"));
    json_object_object_add(info->specific, "data", data);
    return 0;
}

const BlockDriver block_driver_vmdk = {
    .name = "vmdk",
    .kind = BLOCK_FORMAT,
    .traits = BLOCK_HAS_BACKING | BLOCK_ZERO_ON_CREATE,
    .state_size = sizeof(Vmdk),
    .probe = vmdk_probe,
    .create_options = create_options,
    .open = vmdk_open,
    .close = vmdk_close,
    .reopen = vmdk_reopen,
    .create = vmdk_create,
    .read = vmdk_read,
    .write = vmdk_write,
    .flush = vmdk_flush,
    .map = vmdk_map,
    .check = vmdk_check,
    .info = vmdk_info,
};
