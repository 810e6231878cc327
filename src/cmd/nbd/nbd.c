/* menura nbd: the two names of the command, and help. */
#include "cmd/nbd/nbd.h"

#include <stdarg.h>
#include <stdio.h>

int nbd_error(const NbdJob *job, const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "%s: ", job->program);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return 1;
}

int nbd_main(const char *program, int argc, char **argv, bool as_qemu)
{
    NbdJob job = {
        .program = program,
        .flags = BLOCK_WRITE,
        .export = "",
        .handshake_seconds = 10,
        .objects = object_list_new(NULL),
        .discard = as_qemu ? NULL : "unmap",
        .persistent = !as_qemu,
        .most_clients = as_qemu ? 1 : 100,
        .address = {.host = as_qemu ? "0.0.0.0" : "localhost"},
    };
    int status = 0;

    if (nbd_parse(&job, argc, argv, as_qemu, &status)) {
        status = job.list ? nbd_list(&job) : nbd_serve(&job);
    }
    object_list_free(job.objects);
    return status;
}
