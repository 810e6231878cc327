/* Runs a BIOS image that tests the CPU, on a machine that has nothing but memory, a diagnostic port
 * and a text port:
 *
 *   x86-rom IMAGE [--accel NAME | --count N | --trace] [--post PORT] [--text PORT] [--cpu MODEL]
 *           [--log KINDS]
 *
 * The CPU is the engine's with that accelerator, or else the IR is walked (x86_machine.h).
 * The image's end is at 1 MiB, and again at 4 GiB; it may be 64 or 128 KiB long. Text goes to the
 * standard output, POST codes and the end to the standard error. It ends when the CPU halts, shuts
 * down, writes FFh to the POST port or has executed N instructions; the exit status is 0 for FFh.
 *
 * Made for test386.asm (its default POST port is the default here): see
 * docs/howto-x86-instruction.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accel/vcpu.h"
#include "base/log.h"
#include "guest/x86/cpuid.h"
#include "x86_machine.h"

typedef struct Board {
    Machine *machine;
    Engine *engine; /* NULL: the IR is walked */
    Vcpu *vcpu;
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
        fprintf(stderr, "POST %02x after %.3f s\n", board->post, (double)clock() / CLOCKS_PER_SEC);
        if (board->vcpu && board->post == 0xff) {
            vcpu_kick(board->vcpu);
        }
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

static MachineStop walk(Machine *m, u64 count, bool trace)
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

static MachineStop run(Board *board)
{
    VcpuExit exit;

    do {
        vcpu_run(board->vcpu, &exit);
    } while (exit.kind == VCPU_INTERRUPT && board->post != 0xff);
    return exit.kind == VCPU_HALT       ? MACHINE_HALTED
           : exit.kind == VCPU_SHUTDOWN ? MACHINE_SHUTDOWN
                                        : MACHINE_RUNS;
}

typedef struct Options {
    const char *accel, *cpu;
    u64 count;
    bool trace;
} Options;

static void usage(void)
{
    fprintf(stderr, "usage: x86-rom IMAGE [--accel NAME | --count N | --trace] [--post PORT] "
                    "[--text PORT] [--cpu MODEL] [--log KINDS]\n");
    exit(2);
}

static Options parse(int argc, char **argv, Board *board)
{
    Options o = {.count = ~(u64)0};

    for (int i = 2; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "--trace") == 0) {
            o.trace = true;
            continue;
        }
        if (++i == argc) {
            usage();
        }
        if (strcmp(option, "--post") == 0) {
            board->post_port = (u16)strtoul(argv[i], NULL, 0);
        } else if (strcmp(option, "--text") == 0) {
            board->text_port = (u16)strtoul(argv[i], NULL, 0);
        } else if (strcmp(option, "--count") == 0) {
            o.count = strtoull(argv[i], NULL, 0);
        } else if (strcmp(option, "--cpu") == 0) {
            o.cpu = argv[i];
        } else if (strcmp(option, "--log") == 0) {
            const char *bad;
            if (!log_parse(argv[i], &bad)) {
                usage();
            }
        } else if (strcmp(option, "--accel") == 0) {
            o.accel = argv[i];
        } else {
            usage();
        }
    }
    return o;
}

static void make_machine(Board *board, const Options *o)
{
    EngineOptions options = {.guest = "x86_64", .accel = o->accel, .system = true};
    const char *error;

    if (!o->accel) {
        board->machine = machine_new(0x200000);
        return;
    }
    board->engine = engine_new(&options, &error);
    board->vcpu = board->engine ? vcpu_new(board->engine) : NULL;
    if (!board->vcpu) {
        fprintf(stderr, "x86-rom: %s\n", error);
        exit(2);
    }
    board->machine = machine_around(vcpu_state(board->vcpu), 0x200000);
}

static void choose_cpu(Board *board, const char *text)
{
    char message[200];
    X86Cpu cpu;

    if (!x86_parse_cpu(text, &cpu, message, sizeof(message))) {
        fprintf(stderr, "x86-rom: %s\n", message);
        exit(2);
    }
    x86_set_cpu(board->machine->cpu, &cpu);
}

int main(int argc, char **argv)
{
    Board board = {.post_port = 0x190, .text_port = 0xe9, .post = -1};
    Options o = parse(argc, argv, &board);
    MachineStop stop;

    if (argc < 2) {
        usage();
    }
    make_machine(&board, &o);
    board.machine->opaque = &board;
    board.machine->bus.port_write = port_write;
    if (o.cpu) {
        choose_cpu(&board, o.cpu);
    }
    if (!load(board.machine, argv[1])) {
        return 2;
    }
    if (board.vcpu) {
        vcpu_set_bus(board.vcpu, &board.machine->bus);
    }
    stop = board.vcpu ? run(&board) : walk(board.machine, o.count, o.trace);
    fprintf(stderr, "%s, POST %02x, %llu instructions\n",
            stop == MACHINE_HALTED     ? "halted"
            : stop == MACHINE_SHUTDOWN ? "shut down"
                                       : "stopped",
            board.post & 0xff, (unsigned long long)board.machine->instructions);
    print_state(board.machine);
    machine_free(board.machine);
    if (board.vcpu) {
        vcpu_free(board.vcpu);
        engine_free(board.engine);
    }
    return board.post == 0xff ? 0 : 1;
}
