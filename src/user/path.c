/* File name lookup under a root: see path.h. */
#include "user/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/path_links.h"

/* Where the kernel's own file systems and scratch files are: one machine has one of each. */
static const char *const host_only[] = {"/proc", "/sys", "/dev", "/tmp"};

int path_root_open(PathRoot *root, const char *directory)
{
    *root = (PathRoot){.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!directory) {
        return 0;
    }
    char *real = realpath(directory, NULL);
    if (!real) {
        return -errno;
    }
    if (!strcmp(real, "/")) {
        free(real);
        return 0;
    }
    int fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        free(real);
        return -error;
    }
    /* Out of the way of programs that count on the lowest numbers. */
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);
    if (high >= 0) {
        close(fd);
        fd = high;
    }
    root->fd = fd;
    root->directory = real;
    return 0;
}

void path_root_close(PathRoot *root)
{
    if (root->fd >= 0) {
        close(root->fd);
    }
    free(root->directory);
    for (size_t i = 0; i < PATH_DIRECTORIES; i++) {
        free(root->directories[i].name);
        free(root->directories[i].real);
    }
    *root = (PathRoot){.fd = -1};
}

static bool is_below(const char *name, const char *directory)
{
    size_t length = strlen(directory);

    return !strncmp(name, directory, length) && (!name[length] || name[length] == '/');
}

static bool is_host_only(const char *name)
{
    for (size_t i = 0; i < COUNT(host_only); i++) {
        if (is_below(name, host_only[i])) {
            return true;
        }
    }
    return false;
}

/* Real path of the file under the root, into `buffer`; false when there is none. */
static bool look_up(const PathRoot *root, const char *name, bool follow, char buffer[PATH_MAX])
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
        .resolve = RESOLVE_IN_ROOT,
    };
    char link[32];

    int fd = (int)syscall(SYS_openat2, root->fd, name, &how, sizeof how);
    if (fd < 0) {
        return false;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    close(fd);
    if (length <= 0) {
        return false;
    }
    buffer[length] = 0;
    return true;
}

/* --- directories that were found before ------------------------------------------------------- */

static PathDirectory *directory_entry(PathRoot *root, const char *name, size_t length)
{
    u32 hash = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (u8)name[i]) * 16777619u;
    }
    return &root->directories[(hash ^ hash >> 16) % PATH_DIRECTORIES];
}

/* The real directory of name[0..length), known from before, with the rest of the name behind
 * it, into `buffer`.
 */
static bool known_directory(PathRoot *root, const char *name, size_t length, char buffer[PATH_MAX])
{
    pthread_mutex_lock(&root->lock);
    const PathDirectory *entry = directory_entry(root, name, length);
    bool known = entry->name && !strncmp(entry->name, name, length) && !entry->name[length];
    size_t real = known ? strlen(entry->real) : 0, rest = strlen(name + length) + 1;
    known = known && real + 1 + rest <= PATH_MAX;
    if (known) {
        memcpy(buffer, entry->real, real);
        buffer[real] = '/';
        memcpy(buffer + real + 1, name + length, rest);
    }
    pthread_mutex_unlock(&root->lock);
    return known;
}

static void remember_directory(PathRoot *root, const char *name, size_t length, const char *real)
{
    pthread_mutex_lock(&root->lock);
    PathDirectory *entry = directory_entry(root, name, length);
    free(entry->name);
    free(entry->real);
    entry->name = strndup(name, length);
    entry->real = strdup(real);
    if (!entry->name || !entry->real) {
        free(entry->name);
        free(entry->real);
        *entry = (PathDirectory){0};
    }
    pthread_mutex_unlock(&root->lock);
}

/* Length of the directory part, with its slash; 0 when the last component is not a plain name. */
static size_t directory_length(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash && slash[1] && strcmp(slash + 1, ".") != 0 && strcmp(slash + 1, "..") != 0
               ? (size_t)(slash + 1 - name)
               : 0;
}

/* Whether the root has the first component of an absolute name: a cheap way to see that it lacks
 * the file. */
static bool starts_in_root(const PathRoot *root, const char *name)
{
    char first[NAME_MAX + 1];
    struct stat status;

    name += strspn(name, "/");
    size_t length = strcspn(name, "/");
    if (length >= sizeof first) {
        return false;
    }
    memcpy(first, name, length);
    first[length] = 0;
    return fstatat(root->fd, first, &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* look_up() with one system call when the directory is known and the file no symbolic link. */
static bool look_up_fast(PathRoot *root, const char *name, bool follow, char buffer[PATH_MAX])
{
    size_t length = directory_length(name);
    char real[PATH_MAX];
    struct stat status;

    if (!length) {
        return look_up(root, name, follow, buffer);
    }
    if (known_directory(root, name, length, buffer)) {
        if (fstatat(AT_FDCWD, buffer, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            !(follow && S_ISLNK(status.st_mode))) {
            return true;
        }
        return look_up(root, name, follow, buffer);
    }
    memcpy(real, name, length);
    real[length] = 0;
    if (!starts_in_root(root, name) || !look_up(root, real, true, buffer)) {
        return false;
    }
    remember_directory(root, name, length, buffer);
    return look_up(root, name, follow, buffer);
}

/* For a name that does not exist yet: under the root if only the root has its directory. */
static bool look_up_parent(const PathRoot *root, const char *name, char buffer[PATH_MAX])
{
    char parent[PATH_MAX];
    size_t length = strlen(name);

    while (length > 1 && name[length - 1] == '/') {
        length--;
    }
    size_t base = length;
    while (base > 0 && name[base - 1] != '/') {
        base--;
    }
    if (base == 0 || base >= sizeof parent) {
        return false;
    }
    memcpy(parent, name, base);
    parent[base] = 0;
    if (access(parent, F_OK) == 0 || !look_up(root, parent, true, buffer)) {
        return false;
    }
    size_t used = strlen(buffer);
    if (used + 1 + (length - base) >= PATH_MAX) {
        return false;
    }
    buffer[used] = '/';
    memcpy(buffer + used + 1, name + base, length - base);
    buffer[used + 1 + length - base] = 0;
    return true;
}

/* One step: the host's name for an absolute name of the guest, or `name` itself. */
static const char *look_up_name(PathRoot *root, const char *name, PathMode mode,
                                char buffer[PATH_MAX])
{
    if (name[0] != '/' || is_host_only(name) || is_below(name, root->directory)) {
        return name;
    }
    bool follow = mode == PATH_FOLLOW || mode == PATH_FOLLOW_CREATE;
    if (look_up_fast(root, name, follow, buffer)) {
        return buffer;
    }
    bool create = mode == PATH_CREATE || mode == PATH_FOLLOW_CREATE;
    return create && look_up_parent(root, name, buffer) ? buffer : name;
}

/* Whether links on the way of a name that the root lacks may lead to the root. */
static bool may_come_back(const char *name)
{
    return !is_host_only(name) || is_below(name, "/tmp");
}

const char *path_to_host(PathRoot *root, int directory, const char *name, PathMode mode,
                         char buffer[PATH_MAX])
{
    enum { DETOURS = 8 };
    bool follow = mode == PATH_FOLLOW || mode == PATH_FOLLOW_CREATE;
    char link[PATH_MAX], next[PATH_MAX];

    if (!root->directory || !*name) {
        return name;
    }
    const char *from = name, *host = look_up_name(root, from, mode, buffer);
    for (int i = 0; i < DETOURS && host == from && may_come_back(from) &&
                    path_leaves_by_link(directory, from, follow, next);
         i++) {
        from = strcpy(link, next);
        host = look_up_name(root, from, mode, buffer);
    }
    return host == link ? strcpy(buffer, link) : host;
}

const char *path_to_guest(const PathRoot *root, const char *name)
{
    if (!root->directory || !is_below(name, root->directory)) {
        return name;
    }
    const char *rest = name + strlen(root->directory);
    return *rest ? rest : "/";
}
