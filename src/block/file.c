/* Protocols "file" and "host_device": a file or block device of the host.
 *
 * The descriptor's bytes are the node's. Reading past the end gives zeroes, writing there enlarges
 * a file. Sector sizes matter only with O_DIRECT. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "block/drivers.h"
#include "block/file.h"
#include "block/lock.h"

enum { IOVECS = 64, FALLBACK_ALIGNMENT = 4096 };

typedef struct File {
    bool is_device;
    bool no_zero_range, no_punch; /* found out that the file system can't */
    BlockLock lock;
    _Atomic(u64) writes, flushed; /* counts: a flush with none since the last is free */
} File;

static const BlockOption open_options[] = {
    {"filename", BLOCK_OPTION_STRING, "path of the file or device"},
    {"locking", BLOCK_OPTION_STRING, "on, off or auto: lock the file against double use", "auto"},
    {"aio", BLOCK_OPTION_STRING, "threads, native or io_uring; the context decides"},
    {NULL},
};

static const BlockOption create_options[] = {
    {"size", BLOCK_OPTION_SIZE, "Virtual disk size"},
    {"preallocation", BLOCK_OPTION_STRING, "Preallocation mode (allowed values: off, falloc, full)",
     "off"},
    {"nocow", BLOCK_OPTION_BOOL, "Turn off copy-on-write (valid only on btrfs)", "off"},
    {"extent_size_hint", BLOCK_OPTION_SIZE, "Extent size hint for the image file, 0 to disable"},
    {NULL},
};

static int parse_filename(const char *filename, BlockOptions *options, BlockError *error)
{
    (void)error;
    for (const char *const *scheme = (const char *const[]){"file:", "host_device:", NULL}; *scheme;
         scheme++) {
        if (!strncmp(filename, *scheme, strlen(*scheme))) {
            filename += strlen(*scheme);
            break;
        }
    }
    block_options_set(options, "filename", filename);
    return 0;
}

/* The smallest unit of O_DIRECT: the kernel says, or we find out by reading. */
static u32 direct_alignment(int fd)
{
    void *buffer = block_buffer_new(FALLBACK_ALIGNMENT);
    int sector;
    u32 found = FALLBACK_ALIGNMENT;

    if (ioctl(fd, BLKSSZGET, &sector) == 0 && sector >= 512) {
        found = (u32)sector;
    } else if (buffer) {
        for (u32 size = 512; size < FALLBACK_ALIGNMENT; size *= 2) {
            if (pread(fd, buffer, size, 0) >= 0 && pread(fd, buffer, size, (off_t)size) >= 0) {
                found = size;
                break;
            }
        }
    }
    free(buffer);
    return found;
}

static int find_size(BlockNode *node, BlockError *error)
{
    struct stat st;
    File *f = node->state;
    u64 bytes = 0;

    if (fstat(node->fd, &st) < 0) {
        return block_error(error, errno, "cannot examine '%s': %s", node->filename,
                           strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        return block_error(error, EISDIR, "'%s' is a directory", node->filename);
    }
    f->is_device = S_ISBLK(st.st_mode);
    if (f->is_device && ioctl(node->fd, BLKGETSIZE64, &bytes) < 0) {
        return block_error(error, errno, "cannot find the size of '%s': %s", node->filename,
                           strerror(errno));
    }
    node->size = f->is_device ? bytes : (u64)st.st_size;
    node->can_grow = S_ISREG(st.st_mode);
    return 0;
}

/* Opens the descriptor that flags ask for; -errno with an error. */
static int open_fd(const BlockNode *node, unsigned flags, BlockError *error)
{
    int mode = flags & BLOCK_WRITE ? O_RDWR : O_RDONLY;
    int fd = open(node->filename, mode | O_CLOEXEC | (flags & BLOCK_DIRECT ? O_DIRECT : 0));

    if (fd < 0 && errno == EINVAL && (flags & BLOCK_DIRECT)) {
        return block_error(error, EINVAL,
                           "'%s' lies on a file system without O_DIRECT; "
                           "use another cache mode",
                           node->filename);
    }
    return fd >= 0
               ? fd
               : block_error(error, errno, "cannot open '%s': %s", node->filename, strerror(errno));
}

static int file_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    const char *path = block_options_get(options, "filename");
    const char *locking = block_option_string(options, open_options, "locking");
    File *f = node->state;

    if (!path || !*path) {
        return block_error(error, EINVAL, "the file driver needs a 'filename'");
    }
    free(node->filename);
    node->filename = strdup(path);
    node->fd = open_fd(node, node->flags, error);
    if (node->fd < 0) {
        return node->fd;
    }
    f->lock.fd = node->fd;
    f->lock.off = !strcmp(locking, "off") || (node->flags & BLOCK_NO_LOCK);
    int result = find_size(node, error);
    result = result ? result : block_lock(&f->lock, node->filename, node->flags, error);
    if (result < 0) {
        close(node->fd);
        node->fd = -1;
        return result;
    }
    if (node->flags & BLOCK_DIRECT) {
        node->alignment = node->memory_alignment = direct_alignment(node->fd);
    }
    node->zero_alignment = node->alignment;
    return 0;
}

static int file_close(BlockNode *node)
{
    return close(node->fd) < 0 ? -errno : 0;
}

static int file_reopen(BlockNode *node, unsigned flags, BlockError *error)
{
    File *f = node->state;
    int fd = open_fd(node, flags, error);

    if (fd < 0) {
        return fd;
    }
    /* Our own locks would be in the way of the new descriptor's. */
    block_unlock(&f->lock);
    int old = f->lock.fd;
    f->lock.fd = fd;
    int result = block_lock(&f->lock, node->filename, flags, error);
    if (result < 0) {
        f->lock.fd = old;
        close(fd);
        block_lock(&f->lock, node->filename, node->flags, NULL);
        return result;
    }
    /* The number stays the same for those who know it. */
    result = dup3(fd, node->fd, O_CLOEXEC) < 0 ? -errno : 0;
    f->lock.fd = node->fd;
    close(fd);
    return result;
}

static void note_write(BlockNode *node, u64 end)
{
    File *f = node->state;
    u64 size = __atomic_load_n(&node->size, __ATOMIC_RELAXED);

    while (end > size && !__atomic_compare_exchange_n(&node->size, &size, end, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    atomic_fetch_add(&f->writes, 1);
}

static int file_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    struct iovec iov[IOVECS];

    for (BlockVector rest = *data; rest.bytes;) {
        size_t bytes;
        unsigned count = block_vector_iovecs(&rest, iov, IOVECS, &bytes);
        ssize_t done = preadv(node->fd, iov, (int)count, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            return -errno;
        }
        if (done == 0) {
            block_vector_clear(&rest); /* past the end */
            return 0;
        }
        if (done > 0) {
            rest = block_vector_part(&rest, (size_t)done, rest.bytes - (size_t)done);
            offset += (u64)done;
        }
    }
    return 0;
}

static int file_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    struct iovec iov[IOVECS];

    (void)flags;
    for (BlockVector rest = *data; rest.bytes;) {
        size_t bytes;
        unsigned count = block_vector_iovecs(&rest, iov, IOVECS, &bytes);
        ssize_t done = pwritev(node->fd, iov, (int)count, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            return -errno;
        }
        if (done == 0) {
            return -ENOSPC;
        }
        if (done > 0) {
            rest = block_vector_part(&rest, (size_t)done, rest.bytes - (size_t)done);
            offset += (u64)done;
        }
    }
    note_write(node, offset);
    return 0;
}

/* fallocate() with its "can't" made -ENOTSUP, remembered in *never. */
static int allocate(int fd, int mode, u64 offset, u64 bytes, bool *never)
{
    int result;

    if (__atomic_load_n(never, __ATOMIC_RELAXED)) {
        return -ENOTSUP;
    }
    do {
        result = fallocate(fd, mode, (off_t)offset, (off_t)bytes) < 0 ? -errno : 0;
    } while (result == -EINTR);
    if (result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV) {
        __atomic_store_n(never, true, __ATOMIC_RELAXED);
        return -ENOTSUP;
    }
    return result;
}

static int file_discard(BlockNode *node, u64 offset, u64 bytes)
{
    File *f = node->state;

    atomic_fetch_add(&f->writes, 1);
    if (f->is_device) {
        u64 range[] = {offset, bytes};
        return ioctl(node->fd, BLKDISCARD, range) < 0 ? -ENOTSUP : 0;
    }
    return allocate(node->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes,
                    &f->no_punch);
}

static int file_zero(BlockNode *node, u64 offset, u64 bytes, unsigned flags)
{
    File *f = node->state;
    u64 size = block_size(node);
    int result = -ENOTSUP;

    if (f->is_device) {
        u64 range[] = {offset, bytes};
        atomic_fetch_add(&f->writes, 1);
        return ioctl(node->fd, BLKZEROOUT, range) < 0 ? -ENOTSUP : 0;
    }
    if (offset + bytes > size) {
        /* What is added reads as zeroes. */
        if (ftruncate(node->fd, (off_t)(offset + bytes)) < 0) {
            return -errno;
        }
        note_write(node, offset + bytes);
        if (offset >= size && (flags & BLOCK_MAY_UNMAP)) {
            return 0;
        }
    }
    if (flags & BLOCK_MAY_UNMAP) {
        result = file_discard(node, offset, bytes);
    }
    if (result < 0) {
        result = allocate(node->fd, FALLOC_FL_ZERO_RANGE, offset, bytes, &f->no_zero_range);
    }
    note_write(node, offset + bytes);
    return result == -EOPNOTSUPP ? -ENOTSUP : result;
}

static int file_flush(BlockNode *node)
{
    File *f = node->state;
    u64 writes = atomic_load(&f->writes);

    if ((node->flags & BLOCK_NO_FLUSH) || atomic_load(&f->flushed) == writes) {
        return 0;
    }
    if (fdatasync(node->fd) < 0) {
        return -errno;
    }
    atomic_store(&f->flushed, writes);
    return 0;
}

static bool file_direct(BlockNode *node, BlockOp op, u64 offset, u64 bytes, BlockDirect *direct)
{
    (void)op;
    *direct = (BlockDirect){node, offset, bytes};
    return true;
}

void block_file_wrote(BlockNode *node, u64 end)
{
    if (node->driver == &block_driver_file || node->driver == &block_driver_host_device) {
        note_write(node, end);
    }
}

/* Data or hole, as the file system says. */
static int file_map(BlockNode *node, u64 offset, u64 bytes, BlockExtent *extent)
{
    off_t data = lseek(node->fd, (off_t)offset, SEEK_DATA);
    off_t end = (off_t)(offset + bytes);
    bool hole = false;

    if (data < 0 && errno == ENXIO) {
        hole = true; /* up to the end */
    } else if (data > (off_t)offset) {
        hole = true;
        end = MIN(end, data);
    } else if (data >= 0) {
        off_t next = lseek(node->fd, (off_t)offset, SEEK_HOLE);
        end = next > (off_t)offset ? MIN(end, next) : end;
    }
    extent->flags = BLOCK_ALLOCATED | BLOCK_OFFSET | (hole ? BLOCK_ZERO : BLOCK_DATA);
    extent->bytes = (u64)end - offset;
    extent->offset = offset;
    extent->file = node;
    return 0;
}

static int write_out(int fd, u64 from, u64 to)
{
    enum { CHUNK = 1 << 20 };
    void *zeroes = calloc(1, CHUNK);
    int result = zeroes ? 0 : -ENOMEM;

    while (!result && from < to) {
        ssize_t done = pwrite(fd, zeroes, MIN((u64)CHUNK, to - from), (off_t)from);
        if (done < 0 && errno != EINTR) {
            result = -errno;
        }
        from += done > 0 ? (u64)done : 0;
    }
    free(zeroes);
    return result;
}

static int file_truncate(BlockNode *node, u64 size, BlockPrealloc mode, BlockError *error)
{
    File *f = node->state;
    u64 old = block_size(node);
    int result = 0;

    if (f->is_device) {
        return size <= old ? 0 : block_error(error, ENOTSUP, "a device cannot grow");
    }
    if (size > old && mode == BLOCK_PREALLOC_FALLOC) {
        result = -posix_fallocate(node->fd, (off_t)old, (off_t)(size - old));
    } else if (size > old && mode == BLOCK_PREALLOC_FULL) {
        result = write_out(node->fd, old, size);
    } else if (ftruncate(node->fd, (off_t)size) < 0) {
        result = -errno;
    }
    if (result < 0) {
        if (ftruncate(node->fd, (off_t)old) < 0) {
            result = -errno;
        }
        return block_error(error, -result, "cannot resize '%s': %s", node->filename,
                           strerror(-result));
    }
    __atomic_store_n(&node->size, size, __ATOMIC_RELAXED);
    atomic_fetch_add(&f->writes, 1);
    return 0;
}

static s64 file_allocated_size(BlockNode *node)
{
    struct stat st;

    return fstat(node->fd, &st) < 0 ? -errno : (s64)st.st_blocks * 512;
}

static int file_info(BlockNode *node, BlockInfo *info, BlockError *error)
{
    (void)error;
    info->specific = json_object_new_object();
    json_object_object_add(info->specific, "type", json_object_new_string(node->driver->name));
    json_object_object_add(info->specific, "data", json_object_new_object());
    return 0;
}

/* A name with its protocol taken off. */
static const char *plain_path(const char *filename)
{
    return !strncmp(filename, "file:", 5) ? filename + 5 : filename;
}

static int file_create(BlockNode *file, const char *filename, const BlockOptions *options,
                       BlockError *error)
{
    const char *word = block_option_string(options, create_options, "preallocation");
    u64 size = block_option_number(options, create_options, "size");
    BlockPrealloc mode;
    BlockNode *made;

    (void)file;
    filename = plain_path(filename);
    if (!block_prealloc_parse(word, &mode) || mode == BLOCK_PREALLOC_METADATA) {
        return block_error(error, EINVAL, "preallocation '%s' is not possible for files", word);
    }
    int fd = open(filename, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return block_error(error, errno, "cannot create '%s': %s", filename, strerror(errno));
    }
    close(fd);
    /* Not O_TRUNC: another may use it, which only the lock tells. */
    BlockOptions *opening = block_options_new();
    block_options_set(opening, "driver", "file");
    int result = block_open(&made, filename, opening, BLOCK_WRITE | BLOCK_NO_FLUSH, error);
    block_options_free(opening);
    if (result < 0) {
        return result;
    }
    result = made->can_grow ? block_truncate(made, 0, BLOCK_PREALLOC_OFF, error) : 0;
    result = result ? result : block_truncate(made, size, mode, error);
    block_close(made);
    return result;
}

#define FILE_DRIVER                                                                                \
    .kind = BLOCK_PROTOCOL, .traits = BLOCK_ZERO_ON_CREATE, .state_size = sizeof(File),            \
    .parse_filename = parse_filename, .open_options = open_options,                                \
    .create_options = create_options, .open = file_open, .close = file_close,                      \
    .reopen = file_reopen, .create = file_create, .read = file_read, .write = file_write,          \
    .zero = file_zero, .discard = file_discard, .flush = file_flush, .direct = file_direct,        \
    .map = file_map, .info = file_info, .truncate = file_truncate,                                 \
    .allocated_size = file_allocated_size

const BlockDriver block_driver_file = {.name = "file", FILE_DRIVER};
const BlockDriver block_driver_host_device = {.name = "host_device", FILE_DRIVER};
