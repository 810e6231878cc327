/* --firmware uefi: OVMF of Debian's package, in two flash chips: its code, and its variables. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "cmd/boot/boot.h"

typedef struct Uefi {
    const char *code, *variables; /* as they are before anything has set one */
} Uefi;

static const Uefi uefis[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
};

static const Uefi *find_uefi(void)
{
    for (size_t i = 0; i < COUNT(uefis); i++) {
        if (access(uefis[i].code, R_OK) == 0 && access(uefis[i].variables, R_OK) == 0) {
            return &uefis[i];
        }
    }
    return NULL;
}

/* A new file with the contents of another; one that is there already stays as it is. */
static int copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), result = 0;
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    ssize_t n = 1;

    if (in < 0 || out < 0) {
        result = errno == EEXIST && in >= 0 ? 0 : -errno;
    }
    while (out >= 0 && n > 0) {
        n = sendfile(out, in, NULL, 1 << 20);
        result = n < 0 ? -errno : 0;
    }
    if (out >= 0) {
        close(out);
    }
    if (in >= 0) {
        close(in);
    }
    return result;
}

static bool add_chip(BootCommand *command, int index, const char *path, const char *options)
{
    char text[2 * 4096], *to = text + sprintf(text, "file=");

    if (strlen(path) > 2000) {
        boot_fail(command, "%.20s...: the name is too long", path);
        return false;
    }
    for (const char *c = path; *c; c++) { /* a comma twice is one of the name */
        *to++ = *c;
        if (*c == ',') {
            *to++ = ',';
        }
    }
    sprintf(to, ",format=raw,%s", options);
    return boot_add_drive(command, "pflash", index, false, text, true);
}

bool boot_add_uefi(BootCommand *command, const char *variables)
{
    const Uefi *uefi = find_uefi();
    int result;

    if (!uefi) {
        boot_fail(command, "--firmware uefi: install the package ovmf");
        return false;
    }
    result = variables ? copy_file(uefi->variables, variables) : 0;
    if (result < 0) {
        boot_fail(command, "cannot make %s: %s", variables, strerror(-result));
        return false;
    }
    return add_chip(command, 0, uefi->code, "readonly=on") &&
           add_chip(command, 1, variables ? variables : uefi->variables,
                    variables ? "readonly=off" : "snapshot=on");
}
