/* Image locking by open file description locks, in QEMU's scheme: one byte from 100 on for each
 * permission that a user has, one from 200 on for each that it does not leave to others. All are
 * shared locks; to see whether another is in the way, one asks whether an exclusive lock could be
 * had on the opposite byte. */
#include "block/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "block/block.h"

enum { PERMISSIONS_AT = 100, REFUSALS_AT = 200 };

static const struct {
    const char *name;
    bool reader, writer; /* who has it */
    bool refused;        /* do users keep others from having it? */
} permissions[] = {
    {"consistent read", true, true, false},
    {"write", false, true, true},
    {"write unchanged", false, false, false},
    {"resize", false, true, true},
};

static int set(int fd, int byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static bool is_taken(int fd, int byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

void block_unlock(BlockLock *lock)
{
    for (int i = 0; i < (int)COUNT(permissions); i++) {
        set(lock->fd, PERMISSIONS_AT + i, F_UNLCK);
        set(lock->fd, REFUSALS_AT + i, F_UNLCK);
    }
}

int block_lock(BlockLock *lock, const char *filename, unsigned flags, BlockError *error)
{
    bool share = flags & BLOCK_SHARE;

    if (lock->off) {
        return 0;
    }
    for (int i = 0; i < (int)COUNT(permissions); i++) {
        bool has = flags & BLOCK_WRITE ? permissions[i].writer : permissions[i].reader;
        bool refuses = permissions[i].refused && !share;
        const char *conflict = "";
        int result = has ? set(lock->fd, PERMISSIONS_AT + i, F_RDLCK) : 0;
        result = result || !refuses ? result : set(lock->fd, REFUSALS_AT + i, F_RDLCK);
        if (result == -EAGAIN || result == -EACCES) {
            /* nobody takes exclusive ones, but somebody did */
        } else if (result < 0) {
            continue; /* a file system without locks: go without */
        } else if (has && is_taken(lock->fd, REFUSALS_AT + i)) {
            result = -EAGAIN;
            /* our own refusal doesn't count: locks of one description don't conflict */
        } else if (refuses && is_taken(lock->fd, PERMISSIONS_AT + i)) {
            result = -EAGAIN;
            conflict = "shared ";
        }
        if (result < 0) {
            block_unlock(lock);
            return block_error(error, EAGAIN,
                               "Failed to get %s\"%s\" lock: is another process using '%s'?",
                               conflict, permissions[i].name, filename);
        }
    }
    return 0;
}
