/* Snapshot mode: the image stays as it is, what is written goes to a qcow2 overlay in a temporary
 * file that has no name and ends with the node. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/drivers.h"
#include "block/layer.h"

/* An empty file without a name; its path by way of /proc in `path`. Returns the descriptor. */
static int make_file(char *path, size_t room, BlockError *error)
{
    const char *directory = getenv("TMPDIR");
    char name[4096];

    snprintf(name, sizeof name, "%s/menura-XXXXXX",
             directory && *directory ? directory : "/var/tmp");
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0) {
        return block_error(error, errno, "cannot make a temporary file in '%s': %s",
                           directory ? directory : "/var/tmp", strerror(errno));
    }
    unlink(name);
    snprintf(path, room, "/proc/self/fd/%d", fd);
    return fd;
}

int block_open_temporary(BlockNode **node, BlockNode *base, unsigned flags, BlockError *error)
{
    BlockOptions *options = block_options_new();
    char path[64];
    int fd = make_file(path, sizeof path, error);
    int result = MIN(fd, 0);

    block_options_setf(options, "size", "%llu", (unsigned long long)block_size(base));
    result = result ? result : block_create(&block_driver_qcow2, path, options, error);
    block_options_set(options, "size", NULL);
    block_options_set(options, "driver", "qcow2");
    if (!result) {
        /* Nothing of it outlives the process: no need to flush. */
        unsigned kept = flags & (BLOCK_UNMAP | BLOCK_DETECT_ZEROES);
        result = block_open(node, path, options, BLOCK_WRITE | BLOCK_NO_FLUSH | kept, error);
    }
    block_options_free(options);
    if (fd >= 0) {
        close(fd);
    }
    if (!result) {
        (*node)->backing = base;
        (*node)->backing_filename = strdup(base->filename);
        (*node)->backing_format = strdup(base->driver->name);
    }
    return result;
}
