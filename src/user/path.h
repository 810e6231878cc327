/* File names of the guest: looked up under the root first, then on the host.
 *
 * With a root, an absolute name that exists under it means that file; symbolic links are followed
 * as if the root were "/". Anything else is the host's. Names below /proc, /sys, /dev and /tmp are
 * always the host's. Relative names are the kernel's business. Absolute targets of symbolic links
 * that either leads through are names of the guest's again. */
#ifndef USER_PATH_H
#define USER_PATH_H

#include <limits.h>
#include <pthread.h>

#include "base/types.h"

/* A directory that was looked up under the root and found. That it is gone or moved since is
 * noticed when a name in it is not found. */
typedef struct PathDirectory {
    char *name; /* as the guest spelled it; owned; NULL: empty entry */
    char *real; /* of the host; owned */
} PathDirectory;

enum { PATH_DIRECTORIES = 256 };

typedef struct PathRoot {
    int fd;          /* of the root directory, kept high and hidden from the guest; -1: no root */
    char *directory; /* real path without a trailing slash; owned; NULL: no root */
    pthread_mutex_t lock;                        /* of the following */
    PathDirectory directories[PATH_DIRECTORIES]; /* by hash of the name; the newest wins */
} PathRoot;

typedef enum PathMode {
    PATH_FOLLOW,        /* the file that a last symbolic link leads to */
    PATH_NOFOLLOW,      /* the link itself */
    PATH_CREATE,        /* about to be made: where its directory is */
    PATH_FOLLOW_CREATE, /* open(O_CREAT): the file if it exists, else as PATH_CREATE */
} PathMode;

/* Opens the root; returns 0 or -errno. `directory` NULL or "/" means none. */
int path_root_open(PathRoot *root, const char *directory);
void path_root_close(PathRoot *root);

/* The host's name for the guest's: `name` itself or `buffer`, filled. Never fails: a name that does
 * not exist comes back as the host's. A relative name is seen from `directory`, a descriptor or
 * AT_FDCWD. */
const char *path_to_host(PathRoot *root, int directory, const char *name, PathMode mode,
                         char buffer[PATH_MAX]);

/* The guest's view of a real host path: without the root's directory. Returns a part of `name`, or
 * "/" for the root itself. */
const char *path_to_guest(const PathRoot *root, const char *name);

#endif
