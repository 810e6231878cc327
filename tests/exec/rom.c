/* Runs a BIOS image that tests the CPU on the engine:
 *
 *   exec-rom IMAGE [--host NAME] [--post PORT] [--text PORT]
 *
 * As x86-rom of tests/guest does without one: the image's end is at 1 MiB, and again at 4 GiB. Text
 * goes to the standard output, POST codes and the end to the standard error. The exit status is 0
 * when FFh was written to the POST port. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "board.h"

static u16 post_port = 0x190, text_port = 0x3f8;
static int post = -1;

static void port_write(Board *board, u16 port, u32 value)
{
    if (port == post_port) {
        post = (u8)value;
        fprintf(stderr, "POST %02x\n", post);
        if (post == 0xff) {
            vcpu_kick(board->cpu[0].vcpu);
        }
    } else if (port == text_port) {
        putchar((u8)value);
    }
}

static bool load(Board *board, const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = -1;

    if (file && fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
        rewind(file);
    }
    bool fits = size > 0 && size <= 0x40000;
    bool loaded = fits && fread(board->ram + 0x100000 - size, (size_t)size, 1, file) == 1;
    if (file) {
        fclose(file);
    }
    board->rom_size = loaded ? (u32)size : 0;
    return loaded;
}

int main(int argc, char **argv)
{
    const Host *host = hosts[0];
    const char *bad;
    const char *end[] = {[CPU_EXIT_HALT] = "halted",
                         [CPU_EXIT_SHUTDOWN] = "shut down",
                         [CPU_EXIT_INTERRUPT] = "stopped"};

    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--host")) {
            host = !strcmp(argv[i + 1], "interp") ? &host_interp : hosts[0];
        } else if (!strcmp(argv[i], "--post")) {
            post_port = (u16)strtoul(argv[i + 1], NULL, 0);
        } else if (!strcmp(argv[i], "--text")) {
            text_port = (u16)strtoul(argv[i + 1], NULL, 0);
        } else if (!strcmp(argv[i], "-d")) {
            log_parse(argv[i + 1], &bad);
        }
    }
    Board *board = board_new(host, 1, 0);
    board->port_write = port_write;
    if (argc < 2 || !load(board, argv[1])) {
        fprintf(stderr,
                "usage: exec-rom IMAGE [--host NAME] [--post PORT] [--text PORT] [-d LIST]\n");
        return 2;
    }
    CpuExitKind kind = board_run(board, 0);
    fprintf(stderr, "%s, POST %02x, at %04x:%llx\n", end[kind], post & 0xff,
            board->cpu[0].state->segment[X86_CS].selector,
            (unsigned long long)board->cpu[0].state->rip);
    board_free(board);
    return post == 0xff ? 0 : 1;
}
