/* Character ports and networks that users name, for devices that are given them by id. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

/* Opens one, as char_open() and net_open() do. */
typedef int OpenBackend(void **port, const char *spec, Loop *loop, char **error);

static int open_chardev(void **port, const char *spec, Loop *loop, char **error)
{
    return char_open((CharPort **)port, spec, loop, error);
}

static int open_netdev(void **port, const char *spec, Loop *loop, char **error)
{
    return net_open((NetPort **)port, spec, loop, error);
}

static void *find(const Backend *list, const char *id)
{
    while (list && strcmp(list->id, id) != 0) {
        list = list->next;
    }
    return list ? list->port : NULL;
}

static int open_all(Machine *machine, Backend **list, const BackendRequest *requests,
                    OpenBackend *open, char **error)
{
    for (const BackendRequest *r = requests; r; r = r->next) {
        Backend *backend;
        void *port;
        int result;
        if (find(*list, r->id)) {
            device_error(error, "there are two back ends with the id '%s'", r->id);
            return -1;
        }
        result = open(&port, r->spec, machine->loop, error);
        if (result < 0) {
            return result;
        }
        backend = malloc(sizeof *backend);
        if (!backend) {
            abort();
        }
        *backend = (Backend){r->id, port, NULL};
        *list = backend;
        list = &backend->next;
    }
    return 0;
}

int machine_open_backends(Machine *machine, char **error)
{
    const MachineOptions *options = machine->options;
    int result = open_all(machine, &machine->chardevs, options->chardevs, open_chardev, error);

    return result < 0 ? result
                      : open_all(machine, &machine->netdevs, options->netdevs, open_netdev, error);
}

void machine_close_backends(Machine *machine)
{
    while (machine->chardevs) {
        Backend *backend = machine->chardevs;
        machine->chardevs = backend->next;
        char_close(backend->port);
        free(backend);
    }
    while (machine->netdevs) {
        Backend *backend = machine->netdevs;
        machine->netdevs = backend->next;
        net_close(backend->port);
        free(backend);
    }
}

/* The serial ports' other ends have ids, too, as QEMU calls them. */
CharPort *machine_find_chardev(const Machine *machine, const char *id)
{
    char name[16];

    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        snprintf(name, sizeof name, "serial%u", i);
        if (!strcmp(name, id)) {
            return machine->serial[i];
        }
    }
    return find(machine->chardevs, id);
}

NetPort *machine_find_netdev(const Machine *machine, const char *id)
{
    return find(machine->netdevs, id);
}
