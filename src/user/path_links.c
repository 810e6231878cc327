/* Symbolic links on the way of names that the kernel resolves: see path_links.h. */
#include "user/path_links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LINKS = 40 }; /* as many as the kernel follows */

/* Whether there is any link on the way, told with few system calls, since mostly there is none. */
static bool has_link(int directory, const char *name, bool follow)
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
        .resolve = RESOLVE_NO_SYMLINKS,
    };
    char target[1];

    if (!strchr(name, '/')) {
        return follow && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
               readlinkat(directory, name, target, sizeof target) > 0;
    }
    int fd = (int)syscall(SYS_openat2, directory, name, &how, sizeof how);
    if (fd >= 0) {
        close(fd);
        return false;
    }
    return errno == ELOOP;
}

/* Links of /proc are no names: what they say is for people. */
static bool in_proc(int directory, const char *link)
{
    char parent[PATH_MAX];
    struct statfs status;

    const char *slash = strrchr(link, '/');
    int length = slash ? (int)(slash + 1 - link) : 0;
    snprintf(parent, sizeof parent, "%.*s.", length, link);
    int fd = openat(directory, parent, O_PATH | O_CLOEXEC);
    bool result = fd >= 0 && fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
    if (fd >= 0) {
        close(fd);
    }
    return result;
}

/* Appends `text` to the name in `buffer`; false when it is too long. */
static bool append(char buffer[PATH_MAX], const char *text, size_t length)
{
    size_t used = strlen(buffer);

    if (used + length >= PATH_MAX) {
        return false;
    }
    memcpy(buffer + used, text, length);
    buffer[used + length] = 0;
    return true;
}

bool path_leaves_by_link(int directory, const char *name, bool follow, char target[PATH_MAX])
{
    char done[PATH_MAX] = "", rest[PATH_MAX] = "";

    if (!has_link(directory, name, follow) || !append(rest, name, strlen(name))) {
        return false;
    }
    for (int links = 0; links < LINKS && *rest;) {
        size_t slashes = strspn(rest, "/"), length = slashes + strcspn(rest + slashes, "/");
        size_t before = strlen(done);
        bool last = !rest[length + strspn(rest + length, "/")];
        if (!append(done, rest, length) || (last && !follow)) {
            return false;
        }
        ssize_t size = readlinkat(directory, done, target, PATH_MAX - 1);
        memmove(rest, rest + length, strlen(rest + length) + 1);
        if (size <= 0) {
            continue;
        }
        links++;
        target[size] = 0;
        if (!append(target, rest, strlen(rest))) {
            return false;
        }
        if (target[0] == '/') {
            return !in_proc(directory, done);
        }
        /* What is left begins at the link's directory: behind its slashes. */
        done[before + slashes] = 0;
        strcpy(rest, target);
    }
    return false;
}
