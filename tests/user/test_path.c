/* File name lookup under a root made for the test. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tap.h"
#include "user/path.h"

static char top[] = "menura-path-XXXXXX";
static PathRoot root;

static void make_file(const char *name)
{
    int fd = open(name, O_CREAT | O_WRONLY, 0644);

    if (fd >= 0) {
        close(fd);
    }
}

/* Whether the guest's name leads to `expected` under the root (NULL: stays as it is). */
static void check(const char *name, PathMode mode, const char *expected)
{
    char buffer[PATH_MAX], full[PATH_MAX];
    const char *host = path_to_host(&root, AT_FDCWD, name, mode, buffer);

    snprintf(full, sizeof full, "%s%s", expected ? root.directory : "", expected ? expected : name);
    OK(!strcmp(host, full), "%s, mode %d: %s", name, (int)mode, expected ? expected : "the host's");
}

static void clean_up(void)
{
    static const char *const files[] = {
        "only-here/file", "tmp/file", "etc/passwd", "absolute", "up",
        "dangling",       "loop",     "only-here",  "tmp",      "etc"};
    char name[64];

    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(name, sizeof name, "root/%s", files[i]);
        remove(name);
    }
    OK(!rmdir("root") && !chdir("..") && !rmdir(top), "everything is cleaned up");
}

int main(void)
{
    if (!mkdtemp(top) || chdir(top) || mkdir("root", 0755) || mkdir("root/only-here", 0755) ||
        mkdir("root/tmp", 0755) || mkdir("root/etc", 0755)) {
        return 1;
    }
    make_file("root/only-here/file");
    make_file("root/tmp/file");
    make_file("root/etc/passwd");
    OK(!symlink("/only-here/file", "root/absolute") && !symlink("../../../only-here", "root/up") &&
           !symlink("/nowhere", "root/dangling") && !symlink("/loop", "root/loop"),
       "links");
    OK(path_root_open(&root, "root") == 0 && root.fd >= 0, "the root opens");

    check("/only-here/file", PATH_FOLLOW, "/only-here/file");
    check("/etc/passwd", PATH_FOLLOW, "/etc/passwd");
    check("/etc/hostname-that-is-not-there", PATH_FOLLOW, NULL);
    check("relative", PATH_FOLLOW, NULL);
    check("", PATH_FOLLOW, NULL);
    check("/absolute", PATH_FOLLOW, "/only-here/file");
    check("/absolute", PATH_NOFOLLOW, "/absolute");
    check("/up/file", PATH_FOLLOW, "/only-here/file");
    check("/only-here/../../../only-here/file", PATH_FOLLOW, "/only-here/file");
    check("/dangling", PATH_FOLLOW, NULL);
    check("/dangling", PATH_NOFOLLOW, "/dangling");
    check("/loop", PATH_FOLLOW, NULL);
    check("/", PATH_FOLLOW, "");
    check("/tmp/file", PATH_FOLLOW, NULL); /* scratch files are the host's */
    check("/proc/self", PATH_FOLLOW, NULL);
    check("/only-here/new", PATH_CREATE, "/only-here/new");
    check("/only-here/new/", PATH_CREATE, "/only-here/new");
    check("/etc/new", PATH_CREATE, NULL); /* the host has /etc, too */
    check("/only-here/file", PATH_FOLLOW_CREATE, "/only-here/file");
    check("/only-here/new", PATH_FOLLOW, NULL);

    /* Links outside the root, of which the last is in the working directory. */
    OK(!symlink("/only-here/file", "absolute") && !symlink("absolute", "twice") &&
           !symlink("/only-here", "directory") && !symlink("/dev/null", "outside") &&
           !symlink("circle", "circle"),
       "links outside");
    check("absolute", PATH_FOLLOW, "/only-here/file");
    check("absolute", PATH_NOFOLLOW, NULL);
    check("./twice", PATH_FOLLOW, "/only-here/file");
    check("directory/file", PATH_NOFOLLOW, "/only-here/file");
    check("directory/new", PATH_CREATE, "/only-here/new");
    check("root/../directory/file", PATH_FOLLOW, "/only-here/file");
    check("circle", PATH_FOLLOW, NULL);
    check("/proc/self/exe", PATH_FOLLOW, NULL);
    char name[PATH_MAX], buffer[PATH_MAX];
    OK(!strcmp(path_to_host(&root, AT_FDCWD, "outside", PATH_FOLLOW, buffer), "/dev/null"),
       "a link to the host's");
    OK(!strcmp(path_to_host(&root, root.fd, "absolute", PATH_FOLLOW, name) + strlen(root.directory),
               "/only-here/file"),
       "a link seen from a directory's descriptor");
    OK(!unlink("absolute") && !unlink("twice") && !unlink("directory") && !unlink("outside") &&
           !unlink("circle"),
       "links outside are removed");

    snprintf(name, sizeof name, "%s/only-here/file", root.directory);
    OK(!strcmp(path_to_guest(&root, name), "/only-here/file"), "back to the guest's name");
    check(name, PATH_FOLLOW, NULL); /* a host name below the root is left alone */
    OK(!strcmp(path_to_guest(&root, root.directory), "/"), "the root itself");
    OK(!strcmp(path_to_guest(&root, "/etc"), "/etc"), "a name outside");
    path_root_close(&root);
    OK(path_root_open(&root, "missing") < 0, "no such root");
    OK(path_root_open(&root, "/") == 0 && !root.directory, "/ means none");
    clean_up();
    return tap_done();
}
