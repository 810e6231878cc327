/* Runs a BIOS image that tests the CPU, on a machine that has nothing but memory, a diagnostic port
 * and a text port:
 *
 *   x86-rom IMAGE [--post PORT] [--text PORT] [--count N] [--trace] [--cpu MODEL]
 *
 * The image's end is at 1 MiB, and again at 4 GiB; it may be 64 or 128 KiB long. Text goes to the
 * standard output, POST codes and the end to the standard error. It ends when the CPU halts, shuts
 * down, writes FFh to the POST port or has executed N instructions; the exit status is 0 for FFh.
 *
 * Made for test386.asm (its default POST port is the default here): see
 * docs/howto-x86-instruction.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "guest/x86/cpuid.h"
#include "x86_machine.h"

typedef struct Board {
    Machine *machine;
    u16 post_port, text_port;
    int post; /* the last code; -1: none yet */
} Board;

static void port_write(void *opaque, u16 port, unsigned size, u32 value)
{
    Machine *m = opaque;
    Board *board = m->opaque;

    (void)size;
    if (port == board->post_port) {
        board->post = (u8)value;
        fprintf(stderr, "POST %02x after %llu instructions\n", board->post,
                (unsigned long long)m->instructions);
    } else if (port == board->text_port) {
        putchar((u8)value);
    }
}

static bool load(Machine *m, const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = -1;

    if (file && fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
        rewind(file);
    }
    if (size > 0 && size <= 0x40000) {
        m->rom_size = (u64)size;
        m->rom_start = ((u64)1 << 32) - (u64)size;
        size = fread(m->ram + 0x100000 - size, (size_t)size, 1, file) == 1 ? size : -1;
    }
    if (file) {
        fclose(file);
    }
    if (size <= 0 || size > 0x40000) {
        fprintf(stderr, "x86-rom: cannot read a BIOS image from %s\n", path);
    }
    return size > 0 && size <= 0x40000;
}

static void print_state(const Machine *m)
{
    const X86State *s = m->cpu;

    fprintf(stderr, "%04x:%08llx eflags %08llx cr0 %08llx cr2 %08llx\n",
            s->segment[X86_CS].selector, (unsigned long long)s->rip,
            (unsigned long long)x86_get_eflags(s), (unsigned long long)s->cr[0],
            (unsigned long long)s->cr[2]);
    for (unsigned n = 0; n < 8; n++) {
        fprintf(stderr, "%08llx%c", (unsigned long long)s->gpr[n], n == 7 ? '\n' : ' ');
    }
}

static MachineStop run(Machine *m, u64 count, bool trace)
{
    Board *board = m->opaque;
    MachineStop stop = MACHINE_RUNS;

    while (stop == MACHINE_RUNS && m->instructions < count && board->post != 0xff) {
        if (trace) {
            print_state(m);
        }
        stop = machine_step(m, trace ? 1 : 64);
    }
    return stop;
}

int main(int argc, char **argv)
{
    Board board = {.post_port = 0x190, .text_port = 0x3f8, .post = -1};
    u64 count = ~(u64)0;
    bool trace = false;
    X86Cpu cpu = {.model = NULL};
    char message[200];
    MachineStop stop;

    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--post") == 0) {
            board.post_port = (u16)strtoul(value, NULL, 0), i++;
        } else if (strcmp(argv[i], "--text") == 0) {
            board.text_port = (u16)strtoul(value, NULL, 0), i++;
        } else if (strcmp(argv[i], "--count") == 0) {
            count = strtoull(value, NULL, 0), i++;
        } else if (strcmp(argv[i], "--cpu") == 0) {
            if (!x86_parse_cpu(value, &cpu, message, sizeof(message))) {
                fprintf(stderr, "x86-rom: %s\n", message);
                return 2;
            }
            i++;
        }
    }
    if (argc < 2) {
        fprintf(stderr, "usage: x86-rom IMAGE [--post PORT] [--text PORT] [--count N] [--trace] "
                        "[--cpu MODEL]\n");
        return 2;
    }
    board.machine = machine_new(0x200000);
    board.machine->opaque = &board;
    board.machine->bus.port_write = port_write;
    if (cpu.model) {
        x86_set_cpu(board.machine->cpu, &cpu);
    }
    if (!load(board.machine, argv[1])) {
        return 2;
    }
    stop = run(board.machine, count, trace);
    fprintf(stderr, "%s, POST %02x, %llu instructions\n",
            stop == MACHINE_HALTED     ? "halted"
            : stop == MACHINE_SHUTDOWN ? "shut down"
                                       : "stopped",
            board.post & 0xff, (unsigned long long)board.machine->instructions);
    print_state(board.machine);
    machine_free(board.machine);
    return board.post == 0xff ? 0 : 1;
}
