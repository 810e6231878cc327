/* Files of /proc that show the guest instead of the emulator. */
#ifndef USER_PROC_FILES_H
#define USER_PROC_FILES_H

#include "user/process.h"

/* Whether the path is the process's own /proc file of that name, spelled /proc/self/NAME,
 * /proc/thread-self/NAME or /proc/<own pid>/NAME. */
bool proc_is_own(const char *path, const char *name);

/* Whether the path is any of these: links there tell the host's paths. */
bool proc_is_below_self(const char *path);

/* Opens the guest's view of a file of /proc. Returns a descriptor, -errno, or PROC_NOT_OURS when
 * the host's file is right. `flags` are the host's open flags. */
enum { PROC_NOT_OURS = -4096 };
s64 proc_open(Thread *thread, const char *path, int flags);

#endif
