/* The text that describes a VMDK disk. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/vmdk.h"

/* The value of `key=` at a line's start, without quotes, into `value`; false when there is none. */
static bool find_value(const char *text, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        line += strspn(line, " \t");
        if (strncasecmp(line, key, length) != 0) {
            continue;
        }
        const char *from = line + length + strspn(line + length, " \t");
        if (*from++ != '=') {
            continue;
        }
        from += strspn(from, " \t");
        bool quoted = *from == '"';
        from += quoted;
        size_t bytes = strcspn(from, quoted ? "\"\r\n" : " \t\r\n");
        snprintf(value, size, "%.*s", (int)MIN(bytes, size - 1), from);
        return true;
    }
    return false;
}

static bool parse_kind(const char *word, VmdkKind *kind)
{
    static const struct {
        const char *word;
        VmdkKind kind;
    } kinds[] = {{"FLAT", VMDK_FLAT},
                 {"VMFS", VMDK_FLAT},
                 {"SPARSE", VMDK_SPARSE},
                 {"VMFSSPARSE", VMDK_SPARSE},
                 {"ZERO", VMDK_ZERO}};

    for (size_t n = 0; n < COUNT(kinds); n++) {
        if (!strcmp(word, kinds[n].word)) {
            *kind = kinds[n].kind;
            return true;
        }
    }
    return false;
}

/* One line `ACCESS SECTORS TYPE ["NAME" [OFFSET]]`; 0 when it is no extent's. */
static int parse_line(const char *line, VmdkLine *extent, BlockError *error)
{
    char access[16], type[32];
    long long sectors = 0, offset = 0;
    int fields;

    *extent = (VmdkLine){0};
    fields = sscanf(line, "%15s %lld %31s \"%511[^\n\r\"]\" %lld", access, &sectors, type,
                    extent->name, &offset);
    if (fields < 3 || (strcmp(access, "RW") != 0 && strcmp(access, "RDONLY") != 0 &&
                       strcmp(access, "NOACCESS") != 0)) {
        return 0;
    }
    if (!parse_kind(type, &extent->kind)) {
        return block_error(error, ENOTSUP, "VMDK extents of type %s are not supported", type);
    }
    if (sectors <= 0 || sectors > INT64_MAX / VMDK_SECTOR || offset < 0 ||
        offset > INT64_MAX / VMDK_SECTOR || (extent->kind != VMDK_ZERO && fields < 4)) {
        return block_error(error, EINVAL, "invalid VMDK extent line: %.*s",
                           (int)strcspn(line, "\r\n"), line);
    }
    extent->sectors = (u64)sectors;
    extent->offset = (u64)offset;
    return 1;
}

static int parse_extents(const char *text, VmdkDescriptor *d, BlockError *error)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        VmdkLine extent;
        int found;

        line += *line == '\n';
        found = parse_line(line, &extent, error);
        if (found < 0) {
            return found;
        }
        if (found) {
            VmdkLine *more = realloc(d->lines, (d->count + 1) * sizeof *more);
            if (!more) {
                return block_error(error, ENOMEM, "no memory for VMDK extents");
            }
            d->lines = more;
            d->lines[d->count++] = extent;
        }
    }
    return d->count ? 0 : block_error(error, EINVAL, "the VMDK descriptor names no extent");
}

int vmdk_parse_descriptor(const char *text, VmdkDescriptor *d, BlockError *error)
{
    char value[32];
    int result;

    *d = (VmdkDescriptor){.parent_cid = 0xffffffff};
    if (!find_value(text, "createType", d->type, sizeof d->type)) {
        return block_error(error, EINVAL, "the VMDK descriptor has no createType");
    }
    if (find_value(text, "CID", value, sizeof value)) {
        d->cid = (u32)strtoul(value, NULL, 16);
    }
    if (find_value(text, "parentCID", value, sizeof value)) {
        d->parent_cid = (u32)strtoul(value, NULL, 16);
    }
    if (d->parent_cid != 0xffffffff) {
        find_value(text, "parentFileNameHint", d->parent, sizeof d->parent);
    }
    result = parse_extents(text, d, error);
    if (result < 0) {
        free(d->lines);
        d->lines = NULL;
    }
    return result;
}

char *vmdk_find_cid(char *text)
{
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, "CID=", 4) && strspn(line + 4, "0123456789abcdefABCDEF") == 8) {
            return line + 4;
        }
    }
    return NULL;
}

char *vmdk_make_descriptor(const VmdkText *t)
{
    unsigned heads = !strcmp(t->adapter, "ide") ? 16 : 255;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        return NULL;
    }
    fprintf(out, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
            t->cid, t->parent_cid, t->type);
    if (t->parent) {
        fprintf(out, "parentFileNameHint=\"%s\"\n", t->parent);
    }
    fprintf(out,
            "\n# Extent description\n%s\n# The Disk Data Base\n#DDB\n\n"
            "ddb.virtualHWVersion = \"%s\"\nddb.geometry.cylinders = \"%llu\"\n"
            "ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"63\"\n"
            "ddb.adapterType = \"%s\"\nddb.toolsVersion = \"%s\"\n",
            t->lines, t->hardware, (unsigned long long)(t->sectors / (63 * heads)), heads,
            t->adapter, t->tools);
    fclose(out);
    return text;
}
