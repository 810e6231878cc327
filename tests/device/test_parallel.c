/* Parallel port: a byte a strobe, busy, interrupts. */
#include "backend/char/char.h"
#include "tests/device/bare.h"

enum { DATA = 0x378, STATUS = 0x379, CONTROL = 0x37a };

static Bare bare;
static CharPort *port;

static void print(const char *text, u8 control)
{
    for (; *text; text++) {
        bare_out(&bare, DATA, (u8)*text);
        bare_out(&bare, CONTROL, control | 1);
        bare_out(&bare, CONTROL, control);
    }
}

static bool printed(const char *text)
{
    char got[100];
    size_t n = char_ring_take(port, got, sizeof got);

    return n == strlen(text) && !memcmp(got, text, n);
}

int main(void)
{
    char *error = NULL;
    Device *parallel;

    bare_start(&bare);
    if (char_open(&port, "ring", bare.board.loop, &error) < 0) {
        return 1;
    }
    parallel = device_new(&device_isa_parallel, &bare.board, NULL);
    device_set_backend(parallel, "chardev", port, &error);
    device_start(parallel, &error);
    device_reset(parallel);
    device_connect(parallel, "irq", 0, bare_wire, &bare, 0);
    OK(bare_in(&bare, STATUS) == 0xdf && bare_in(&bare, CONTROL) == 0xcc, "idle");
    print("print", 0x0c);
    OK(printed("print") && !bare.wires[0].rises, "printed");
    print("me", 0x1c);
    OK(printed("me") && bare.wires[0].rises == 2, "with an interrupt for each byte");
    OK(bare_in(&bare, DATA) == 'e', "data read back");
    bare_out(&bare, CONTROL, 0x2c);
    OK(bare_in(&bare, DATA) == 0xff, "but not as input");
    print("x", 0x08);
    OK(printed(""), "a printer held in reset prints nothing");
    char_ring_limit(port, 1);
    print("ab", 0x1c);
    OK(!(bare_in(&bare, STATUS) & 0x80), "busy");
    OK(printed("a") && bare_in(&bare, STATUS) & 0x80 && bare.wires[0].rises == 4 && printed("b"),
       "until there is room");
    device_free(parallel);
    char_close(port);
    bare_stop(&bare);
    return tap_done();
}
