/* Symbolic links on the way of names that the kernel resolves.
 *
 * A relative name, and an absolute one that is not under the guest's root, is left to the kernel.
 * But where it comes through a symbolic link with an absolute target, that target is a name of the
 * guest's again, such as a virtual environment's link to /usr/bin/python3. */
#ifndef USER_PATH_LINKS_H
#define USER_PATH_LINKS_H

#include <limits.h>
#include <stdbool.h>

/* Whether `name`, from the directory `directory` (a descriptor or AT_FDCWD) if relative, leads
 * through a link with an absolute target; then `target` is what the name stands for from there on,
 * a link's text and what followed it. A last link counts if `follow`. Links of /proc don't count.
 */
bool path_leaves_by_link(int directory, const char *name, bool follow, char target[PATH_MAX]);

#endif
