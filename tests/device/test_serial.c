/* 16550A: bytes both ways, FIFOs, interrupts in their order, loop-back, modem lines, a port that
 * takes nothing for a while. And the debug ports, which share the back end. */
#include "backend/char/char.h"
#include "tests/device/bare.h"

static Bare bare;
static void *serial;
static CharPort *port;

enum { COM1 = 0x3f8 };

static u8 get(unsigned number)
{
    return bare_in(&bare, COM1 + number);
}

static void set(unsigned number, u8 value)
{
    bare_out(&bare, COM1 + number, value);
}

static bool sent(const char *text)
{
    char got[100] = "";
    size_t n = char_ring_take(port, got, sizeof got - 1);

    return n == strlen(text) && !memcmp(got, text, n);
}

static void test_bytes(void)
{
    OK(get(5) == 0x60, "empty and idle");
    set(0, 'h');
    set(0, 'i');
    OK(sent("hi"), "what is written is sent");
    char_ring_feed(port, "xyz", 3);
    OK(get(5) == 0x61 && get(0) == 'x' && get(0) == 'y' && get(0) == 'z' && get(5) == 0x60,
       "without a FIFO the rest waits outside, and nothing is lost");
    set(3, 0x80);
    set(0, 0x01);
    set(1, 0x02);
    OK(get(0) == 1 && get(1) == 2, "the divisor");
    set(3, 0x03);
    OK(get(1) == 0 && get(3) == 3, "behind the latch bit");
    set(7, 0x5a);
    OK(get(7) == 0x5a, "scratch");
    OK((get(2) & 0xcf) == 0x01, "no FIFO, no interrupt");
}

static void test_interrupts(void)
{
    set(2, 0x87);
    OK(get(2) == 0xc1, "FIFO on, no interrupt");
    set(1, 0x0f);
    OK(bare.wires[0].level && get(2) == 0xc2, "the transmitter is empty");
    OK(!bare.wires[0].level && get(2) == 0xc1, "which is told once");
    set(0, 'a');
    OK(bare.wires[0].level && get(2) == 0xc2, "and again after a byte");
    char_ring_feed(port, "1234567", 7);
    OK(bare.wires[0].level && get(2) == 0xcc, "fewer bytes than the level: time-out");
    char_ring_feed(port, "89abcdefghij", 12);
    OK(get(2) == 0xc4, "the level is reached");
    for (const char *c = "123456789abcdefghij"; *c; c++) {
        if (get(0) != *c) {
            OK(false, "lost %c", *c);
        }
    }
    OK(!bare.wires[0].level && get(5) == 0x60, "all bytes came");
    char_ring_event(port, CHAR_BREAK);
    OK(get(2) == 0xc6 && get(5) == 0x71 && get(0) == 0, "a break is an error of the line");
    set(1, 0);
    char_ring_feed(port, "junk", 4);
    set(2, 0x83);
    OK(get(5) == 0x60 && !bare.wires[0].level, "the FIFO is cleared");
    sent("a");
}

static void test_modem(void)
{
    get(6);
    OK(get(6) == 0xb0, "connected: CTS, DSR, DCD");
    set(1, 8);
    char_ring_event(port, CHAR_DISCONNECTED);
    OK(bare.wires[0].level && get(2) == 0xc0, "a line changes");
    OK(get(6) == 0x1a && get(6) == 0x10 && !bare.wires[0].level, "which is told once");
    char_ring_event(port, CHAR_CONNECTED);
    get(6);
    set(1, 0);
    set(4, 0x10);
    get(6);
    OK(get(6) == 0, "loop-back: our own lines");
    set(4, 0x1a);
    OK((get(6) & 0xf0) == 0x90, "RTS is CTS, OUT2 is DCD");
    set(0, 'L');
    OK(sent("") && get(0) == 'L', "and our own bytes");
    for (int i = 0; i < 17; i++) {
        set(0, 'x');
    }
    OK(get(5) & 2 && !(get(5) & 2), "too many: overrun");
    set(2, 0x83);
    char_ring_feed(port, "q", 1);
    OK(!(get(5) & 1), "nothing from outside");
    set(4, 0x0b);
    OK(get(0) == 'q', "until it ends");
}

static void test_blocked(void)
{
    char_ring_limit(port, 4);
    for (const char *c = "0123456789"; *c; c++) {
        set(0, (u8)*c);
    }
    set(1, 2);
    OK(!(get(5) & 0x60) && get(2) == 0xc1, "a port without room: not empty");
    StateBuffer saved = {0};
    char *error = NULL;
    device_save(serial, &saved);
    OK(sent("0123") && sent("4567"), "it goes on as room comes");
    OK(sent("89") && get(5) == 0x60 && get(2) == 0xc2, "to the end, with an interrupt");
    device_reset(serial);
    OK(device_load(serial, &saved, &error) == 0 && sent("4567") && sent("89"),
       "a saved transmitter sends the rest");
    state_buffer_free(&saved);
    for (const char *c = "012345"; *c; c++) {
        set(0, (u8)*c);
    }
    OK(!(get(5) & 0x60), "no room again");
    char_ring_event(port, CHAR_DISCONNECTED);
    OK(get(5) == 0x60, "what waits is lost when the other end goes");
    char_ring_event(port, CHAR_CONNECTED);
    sent("");
    char_ring_limit(port, 4096);
}

static void test_debug(void)
{
    char *error = NULL;
    Device *debug = device_new(&device_isa_debugcon, &bare.board, NULL);
    Device *quit;

    device_set_backend(debug, "chardev", port, &error);
    device_start(debug, &error);
    OK(bare_in(&bare, 0xe9) == 0xe9, "isa-debugcon is found");
    bare_out(&bare, 0xe9, 'D');
    OK(sent("D"), "and passes on");
    device_free(debug);
    quit = bare_device(&bare, &device_isa_debug_exit);
    bare_out(&bare, 0x501, 3);
    OK(bare.events[BOARD_EXIT] == 1 && bare.detail == 7, "isa-debug-exit ends the machine");
    device_free(quit);
    quit = bare_device(&bare, &device_port92);
    device_connect(quit, "a20", 0, bare_wire, &bare, 1);
    bare_out(&bare, 0x92, 2);
    OK(bare.wires[1].level && bare_in(&bare, 0x92) == 2, "port 92 opens A20");
    bare_out(&bare, 0x92, 1);
    OK(!bare.wires[1].level && bare.events[BOARD_RESET] == 1, "and resets");
    device_free(quit);
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    if (char_open(&port, "ring", bare.board.loop, &error) < 0) {
        return 1;
    }
    serial = device_new(&device_isa_serial, &bare.board, NULL);
    device_set_backend(serial, "chardev", port, &error);
    device_start(serial, &error);
    device_reset(serial);
    device_connect(serial, "irq", 0, bare_wire, &bare, 0);
    test_bytes();
    test_interrupts();
    test_modem();
    test_blocked();
    device_free(serial);
    test_debug();
    char_close(port);
    bare_stop(&bare);
    return tap_done();
}
