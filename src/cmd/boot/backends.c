/* Back ends of the command line: --chardev and --netdev, "KIND,OPTION=VALUE,...,id=ID". Kinds and
 * options are those of char_open() and net_open(); of QEMU's form for character devices
 * (file,path=; socket,path= or host=,port=) ours is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/boot/boot.h"

typedef struct Text {
    char bytes[1024];
    size_t size;
    bool full;
} Text;

static void append(Text *text, const char *format, const char *a, const char *b)
{
    int n = snprintf(text->bytes + text->size, sizeof text->bytes - text->size, format, a, b);

    text->full |= n < 0 || (size_t)n >= sizeof text->bytes - text->size;
    text->size += text->full ? 0 : (size_t)n;
}

/* "socket" is "unix:PATH" or "tcp:HOST:PORT"; "file" and the like have their path behind them. */
static void append_chardev(Text *text, const char *kind, BlockOptions *options)
{
    const char *path = block_options_get(options, "path"), *port;

    if (!strcmp(kind, "socket") && !path) {
        const char *host = block_options_get(options, "host");
        port = block_options_get(options, "port");
        append(text, "tcp:%s:%s", host ? host : "localhost", port ? port : "");
        block_options_set(options, "host", NULL);
        block_options_set(options, "port", NULL);
    } else if (path) {
        append(text, "%s:%s", !strcmp(kind, "socket") ? "unix" : kind, path);
        block_options_set(options, "path", NULL);
    } else {
        append(text, "%s%s", kind, "");
    }
}

static void append_request(BackendRequest **at, const char *id, const char *spec)
{
    BackendRequest *request = calloc(1, sizeof *request);

    while (*at) {
        at = &(*at)->next;
    }
    if (!request || !(request->id = strdup(id)) || !(request->spec = strdup(spec))) {
        abort();
    }
    *at = request;
}

bool boot_add_backend(BootCommand *command, bool net, const char *text)
{
    BlockOptions *options = block_options_new();
    const char *option = net ? "--netdev" : "--chardev", *id, *kind, *key, *value;
    Text spec = {0};
    BlockError error;
    bool good = block_options_parse(options, text, "kind", &error) == 0;

    if (!good) {
        boot_fail(command, "%s: %s", option, error.text);
    } else {
        id = block_options_get(options, "id");
        kind = block_options_get(options, "kind");
        good = id && kind;
        if (net && good) {
            append(&spec, "%s%s", kind, "");
        } else if (good) {
            append_chardev(&spec, kind, options);
        }
        for (size_t i = 0; good && block_options_at(options, i, &key, &value); i++) {
            if (strcmp(key, "id") != 0 && strcmp(key, "kind") != 0) {
                append(&spec, ",%s=%s", key, value);
            }
        }
        good = good && !spec.full;
        if (good) {
            append_request(net ? &command->machine.netdevs : &command->machine.chardevs, id,
                           spec.bytes);
        } else {
            boot_fail(command, "%s %s: it must be KIND[,OPTION=VALUE]...,id=ID", option, text);
        }
    }
    block_options_free(options);
    return good;
}

static void free_requests(BackendRequest *list)
{
    while (list) {
        BackendRequest *request = list;
        list = request->next;
        free(request->id);
        free(request->spec);
        free(request);
    }
}

void boot_free_backends(BootCommand *command)
{
    free_requests(command->machine.chardevs);
    free_requests(command->machine.netdevs);
}
