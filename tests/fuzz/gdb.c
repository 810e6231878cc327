/* Fuzz target: gdb's packets. The input is what comes over the connection, first as raw bytes, then
 * each line of it as a packet that arrived whole; the machine is a PC that never runs. Commands for
 * the machine's control (qRcmd) are left out: they may write files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/gdb/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static GdbTarget *make_target(void)
{
    static MachineOptions options = {.memory = 4 << 20, .cpus = 2, .vga = "none"};
    static GdbTarget target;
    char *error = NULL;
    Machine *machine = machine_new(&options, &error);

    if (!machine || !gdb_target_init(&target, machine)) {
        abort();
    }
    return &target;
}

static void run_packet(GdbTarget *target, const char *packet)
{
    GdbWriter answer = {0};
    static char frame[GDB_FRAME_MAX];

    if (!strncmp(packet, "qRcmd", 5)) {
        return;
    }
    if (!gdb_target_packet(target, packet, &answer)) {
        gdb_target_stopped(target, &target->machine->processors[target->thread], 0, &answer);
    }
    if (answer.size > GDB_PACKET_MAX || gdb_frame(&answer, frame) > GDB_FRAME_MAX) {
        abort();
    }
}

static void run_bytes(GdbTarget *target, const uint8_t *data, size_t size)
{
    static GdbReader reader;

    memset(&reader, 0, sizeof reader);
    for (size_t i = 0; i < size; i++) {
        if (gdb_read_byte(&reader, data[i]) == GDB_PACKET) {
            run_packet(target, reader.data);
        }
    }
}

static void run_lines(GdbTarget *target, const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, MIN(size, (size_t)GDB_PACKET_MAX)), *rest = text,
         *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        run_packet(target, line);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static GdbTarget *target;

    target = target ? target : make_target();
    pthread_mutex_lock(&target->machine->lock);
    gdb_target_attach(target);
    run_bytes(target, data, size);
    run_lines(target, data, size);
    gdb_target_detach(target);
    machine_pause(target->machine);
    pthread_mutex_unlock(&target->machine->lock);
    return 0;
}
