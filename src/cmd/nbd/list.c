/* menura nbd --list: the exports of a server, as qemu-nbd prints them. */
#include <stdio.h>

#include "block/nbd_client.h"
#include "block/tls.h"
#include "cmd/nbd/nbd.h"

static void print_flags(u16 flags)
{
    static const char *const names[] = {
        "readonly", "flush", "fua",    "rotational", "trim",      "zeroes",
        "df",       "multi", "resize", "cache",      "fast-zero", "block-status-payload",
    };

    printf("  flags: 0x%x (", flags);
    for (size_t i = 0; i < COUNT(names); i++) {
        if (flags >> (i + 1) & 1) {
            printf(" %s", names[i]);
        }
    }
    printf(" )\n");
}

static void print_export(const NbdExportInfo *export)
{
    printf(" export: '%s'\n", export->name);
    if (export->description && *export->description) {
        printf("  description: %s\n", export->description);
    }
    if (!(export->flags & NBD_HAS_FLAGS)) {
        return; /* the server tells no more */
    }
    printf("  size:  %llu\n", (unsigned long long)export->size);
    print_flags(export->flags);
    printf("  min block: %u\n  opt block: %u\n  max block: %u\n", export->min_block, export->block,
           export->max_payload);
    printf("  transaction size: %d-bit\n", export->headers == NBD_HEADERS_EXTENDED ? 64 : 32);
    size_t count = 0;
    while (export->contexts && export->contexts[count]) {
        count++;
    }
    if (count) {
        printf("  available meta contexts: %zu\n", count);
    }
    for (size_t i = 0; i < count; i++) {
        printf("   %s\n", export->contexts[i]);
    }
}

int nbd_list(const NbdJob *job)
{
    NbdClientOptions options = {.hostname = job->tls_hostname};
    NbdAddress address = job->address;
    NbdExportInfo *list;
    BlockError error;
    size_t count;

    if (job->tls_id) {
        options.tls = tls_credentials_find(job->objects, job->tls_id, false, &error);
        if (!options.tls) {
            return nbd_error(job, "%s", error.text);
        }
        options.hostname = options.hostname || address.path ? options.hostname : address.host;
    }
    int fd = nbd_socket_connect(&address, &error);
    if (fd < 0 || nbd_client_list(fd, &options, &list, &count, &error) < 0) {
        return nbd_error(job, "%s", error.text);
    }
    printf("exports available: %zu\n", count);
    for (size_t i = 0; i < count; i++) {
        print_export(&list[i]);
    }
    nbd_export_list_free(list, count);
    return 0;
}
