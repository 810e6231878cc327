/* Small questions about nodes, and names. */
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"

const char *block_driver_name(const BlockDriver *driver)
{
    return driver->name;
}

const BlockOption *block_driver_create_options(const BlockDriver *driver)
{
    return driver->create ? driver->create_options : NULL;
}

const BlockOption *block_driver_amend_options(const BlockDriver *driver)
{
    return driver->amend_options;
}

const BlockOption *block_driver_open_options(const BlockDriver *driver)
{
    return driver->open_options;
}

const char *block_filename(const BlockNode *node)
{
    return node->filename;
}

const BlockDriver *block_driver(const BlockNode *node)
{
    return node->driver;
}

BlockNode *block_file(const BlockNode *node)
{
    return node->file;
}

BlockNode *block_backing(const BlockNode *node)
{
    return node->backing;
}

bool block_writable(const BlockNode *node)
{
    return node->flags & BLOCK_WRITE;
}

BlockNode *block_skip_filters(BlockNode *node)
{
    while (node->driver->kind == BLOCK_FILTER && node->file) {
        node = node->file;
    }
    return node;
}

const char *block_image_name(const BlockNode *node)
{
    while (node->file) {
        node = node->file;
    }
    return node->filename;
}

bool block_prealloc_parse(const char *word, BlockPrealloc *mode)
{
    static const char *const words[] = {
        [BLOCK_PREALLOC_OFF] = "off",
        [BLOCK_PREALLOC_METADATA] = "metadata",
        [BLOCK_PREALLOC_FALLOC] = "falloc",
        [BLOCK_PREALLOC_FULL] = "full",
    };

    for (size_t i = 0; word && i < COUNT(words); i++) {
        if (!strcmp(words[i], word)) {
            *mode = (BlockPrealloc)i;
            return true;
        }
    }
    *mode = BLOCK_PREALLOC_OFF;
    return !word;
}

char *block_path_beside(const char *base, const char *name)
{
    const char *slash = strrchr(base, '/');
    size_t scheme = strcspn(name, ":/");
    char *path = NULL;

    if (*name == '/' || name[scheme] == ':' || !slash) {
        return strdup(name);
    }
    if (asprintf(&path, "%.*s%s", (int)(slash + 1 - base), base, name) < 0) {
        return NULL;
    }
    return path;
}
