/* Keyboard controller, keyboard and mouse: commands, scan codes in all sets, packets, interrupts.
 */
#include <linux/input-event-codes.h>

#include "backend/input/input.h"
#include "tests/device/bare.h"

static Bare bare;
static InputHub *hub;
static void *controller;

enum { KEYBOARD_WIRE, MOUSE_WIRE, A20_WIRE };

/* The next byte, 0x100 more if it is the mouse's; -1 if none comes. */
static int next(void)
{
    u8 status;

    bare_wait(&bare, 200000);
    status = bare_in(&bare, 0x64);
    if (!(status & 1)) {
        return -1;
    }
    return bare_in(&bare, 0x60) | (status & 0x20 ? 0x100 : 0);
}

/* Whether these bytes come, and no more; `from`: 0x100 for the mouse. */
static bool come(int from, const char *bytes, unsigned count)
{
    bool all = true;

    for (unsigned i = 0; i < count; i++) {
        int byte = next();
        if (byte != (from | (u8)bytes[i])) {
            printf("# byte %u is %#x, not %#x\n", i, byte, from | (u8)bytes[i]);
            all = false;
        }
    }
    int more = next();
    if (more >= 0) {
        printf("# and %#x comes\n", more);
    }
    return all && more < 0;
}

#define KEYS_COME(text) come(0, text, sizeof text - 1)
#define MOUSE_COMES(text) come(0x100, text, sizeof text - 1)

static void config(u8 value)
{
    bare_out(&bare, 0x64, 0x60);
    bare_out(&bare, 0x60, value);
}

static void keyboard(u8 byte)
{
    bare_out(&bare, 0x60, byte);
}

static void mouse(u8 byte)
{
    bare_out(&bare, 0x64, 0xd4);
    bare_out(&bare, 0x60, byte);
}

static void press(unsigned code)
{
    input_key(hub, code, true);
    input_key(hub, code, false);
    input_sync(hub);
}

static void test_controller(void)
{
    bare_out(&bare, 0x64, 0xaa);
    OK(bare_in(&bare, 0x64) & 1 && KEYS_COME("\x55"), "self-test");
    OK(bare_in(&bare, 0x64) == 0x1c, "passed, as the status says");
    bare_out(&bare, 0x64, 0xab);
    OK(KEYS_COME("\0"), "the keyboard's port");
    bare_out(&bare, 0x64, 0xa9);
    OK(KEYS_COME("\0"), "the mouse's port");
    bare_out(&bare, 0x64, 0x20);
    OK(KEYS_COME("\x45"), "the command byte");
    bare_out(&bare, 0x64, 0x6a);
    bare_out(&bare, 0x60, 0x5a);
    bare_out(&bare, 0x64, 0x2a);
    OK(KEYS_COME("\x5a"), "and other memory");
    bare_out(&bare, 0x64, 0xd3);
    bare_out(&bare, 0x60, 0x77);
    OK(MOUSE_COMES("\x77"), "a byte as if from the mouse");
    bare_out(&bare, 0x64, 0xd2);
    bare_out(&bare, 0x60, 0x77);
    OK(KEYS_COME("\x77"), "or from the keyboard");
    OK(bare.wires[A20_WIRE].level, "A20 is open");
    bare_out(&bare, 0x64, 0xd1);
    bare_out(&bare, 0x60, 0xdd);
    OK(!bare.wires[A20_WIRE].level, "shut");
    bare_out(&bare, 0x64, 0xd0);
    OK((next() & 3) == 1, "which reads back");
    bare_out(&bare, 0x64, 0xdf);
    OK(bare.wires[A20_WIRE].level, "and open");
    bare_out(&bare, 0x64, 0xfe);
    OK(bare.events[BOARD_RESET] == 1, "reset");
    bare_out(&bare, 0x64, 0xff);
    OK(bare.events[BOARD_RESET] == 1, "a pulse of nothing");
}

static void test_sets(void)
{
    config(0x45);
    press(KEY_A);
    OK(KEYS_COME("\x1e\x9e"), "translated: set 1");
    press(KEY_UP);
    OK(KEYS_COME("\xe0\x48\xe0\xc8"), "an extended key");
    press(KEY_PAUSE);
    OK(KEYS_COME("\xe1\x1d\x45\xe1\x9d\xc5"), "Pause");
    press(KEY_SYSRQ);
    OK(KEYS_COME("\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa"), "Print Screen");
    press(KEY_F7);
    OK(KEYS_COME("\x41\xc1"), "F7, whose code is out of line");
    for (unsigned code = KEY_ESC; code <= KEY_KPDOT; code++) {
        press(code); /* Linux's numbers are the codes of set 1 here */
        if (next() != (int)code || next() != (int)(code | 0x80)) {
            OK(false, "key %u", code);
        }
    }
    config(0x05);
    press(KEY_A);
    OK(KEYS_COME("\x1c\xf0\x1c"), "untranslated: set 2");
    press(KEY_DELETE);
    OK(KEYS_COME("\xe0\x71\xe0\xf0\x71"), "an extended key");
    keyboard(0xf0);
    OK(KEYS_COME("\xfa"), "choosing a set");
    keyboard(3);
    OK(KEYS_COME("\xfa"), "3");
    press(KEY_A);
    OK(KEYS_COME("\x1c"), "a key repeats and sends no break code");
    press(KEY_LEFTSHIFT);
    OK(KEYS_COME("\x12\xf0\x12"), "but Shift does");
    keyboard(0xfa);
    OK(KEYS_COME("\xfa"), "all keys like set 2");
    press(KEY_UP);
    OK(KEYS_COME("\x63\xf0\x63"), "now do");
    keyboard(0xf0);
    next();
    keyboard(1);
    next();
    press(KEY_UP);
    OK(KEYS_COME("\xe0\x48\xe0\xc8"), "set 1 of the keyboard itself");
    keyboard(0xf0);
    next();
    keyboard(0);
    OK(KEYS_COME("\xfa\x01"), "which set it is");
}

static void test_keyboard(void)
{
    keyboard(0xff);
    OK(KEYS_COME("\xfa\xaa"), "reset");
    keyboard(0xf2);
    OK(KEYS_COME("\xfa\xab\x83"), "identity");
    keyboard(0xee);
    OK(KEYS_COME("\xee"), "echo");
    keyboard(0xed);
    next();
    keyboard(5);
    OK(KEYS_COME("\xfa") && input_leds(hub) == (INPUT_LED_CAPS | INPUT_LED_SCROLL), "lamps");
    keyboard(0xfe);
    OK(KEYS_COME("\xfa"), "resend");
    keyboard(0xe5);
    OK(KEYS_COME("\xfe"), "no such command");
    keyboard(0xf5);
    next();
    press(KEY_A);
    OK(KEYS_COME(""), "disabled");
    keyboard(0xf4);
    next();
    input_key(hub, KEY_A, true);
    input_key(hub, KEY_A, true);
    OK(KEYS_COME("\x1c\x1c"), "repeated");
    press(KEY_B);
    keyboard(0xee);
    OK(KEYS_COME("\x32\xee\xf0\x32"), "an answer comes before waiting keys");
    config(0x55);
    press(KEY_A);
    OK(KEYS_COME(""), "port off");
    bare_out(&bare, 0x64, 0xae);
    OK(input_is_busy(hub), "whoever types is told");
    OK(KEYS_COME("\x1e\x9e"), "keys wait for it");
    OK(!input_is_busy(hub), "until all are taken");
    OK(!bare.wires[KEYBOARD_WIRE].level, "no interrupt while empty");
    bare.wires[KEYBOARD_WIRE].rises = 0;
    press(KEY_A);
    OK(bare.wires[KEYBOARD_WIRE].level, "interrupt");
    OK(bare_in(&bare, 0x60) == 0x1e && bare_in(&bare, 0x60) == 0x1e, "the byte read twice");
    OK(!bare.wires[KEYBOARD_WIRE].level, "until read");
    OK(KEYS_COME("\x9e") && bare.wires[KEYBOARD_WIRE].rises == 2, "one a byte");
}

static void test_mouse(void)
{
    config(0x47);
    mouse(0xff);
    OK(bare.wires[MOUSE_WIRE].level && MOUSE_COMES("\xfa\xaa\0"), "reset");
    input_move(hub, 5, 5);
    input_sync(hub);
    OK(MOUSE_COMES(""), "disabled");
    mouse(0xf4);
    OK(MOUSE_COMES("\xfa"), "enabled");
    input_move(hub, 5, 7);
    input_button(hub, BTN_LEFT, true);
    input_sync(hub);
    OK(MOUSE_COMES("\x29\x05\xf9"), "right, down, left button");
    input_button(hub, BTN_LEFT, false);
    input_wheel(hub, 1, 0);
    input_sync(hub);
    OK(MOUSE_COMES("\x08\0\0"), "released; no wheel");
    input_move(hub, -300, 0);
    input_sync(hub);
    OK(MOUSE_COMES("\x18\x01\0\x18\xd3\0"), "a large movement in parts");
    for (int i = 0; i < 1000; i++) {
        input_move(hub, 1, 0);
        input_sync(hub);
    }
    int sum = 0, byte, at = 0;
    while ((byte = next()) >= 0) {
        sum += at++ % 3 == 1 ? byte & 0xff : 0;
    }
    OK(sum == 1000 && at < 100, "many movements are joined");
    mouse(0xe9);
    OK(MOUSE_COMES("\xfa\x20\x02\x64"), "status");
}

static void set_rates(u8 a, u8 b, u8 c)
{
    const u8 rates[] = {a, b, c};

    for (int i = 0; i < 3; i++) {
        mouse(0xf3);
        next();
        mouse(rates[i]);
        next();
    }
}

static void test_wheel(void)
{
    set_rates(200, 100, 80);
    mouse(0xf2);
    OK(MOUSE_COMES("\xfa\x03"), "a wheel mouse");
    input_wheel(hub, 1, 0);
    input_sync(hub);
    OK(MOUSE_COMES("\x08\0\0\xff"), "up");
    set_rates(200, 200, 80);
    mouse(0xf2);
    OK(MOUSE_COMES("\xfa\x04"), "five buttons");
    input_button(hub, BTN_EXTRA, true);
    input_sync(hub);
    OK(MOUSE_COMES("\x08\0\0\x20"), "the fifth");
    input_button(hub, BTN_EXTRA, false);
    next(), next(), next(), next();
    mouse(0xf0);
    next();
    input_move(hub, 1, -2);
    input_sync(hub);
    OK(MOUSE_COMES(""), "remote mode: nothing by itself");
    mouse(0xeb);
    OK(MOUSE_COMES("\xfa\x08\x01\x02\0"), "asked for");
    mouse(0xee);
    next();
    mouse(0x12);
    OK(MOUSE_COMES("\x12"), "wrap mode");
    mouse(0xec);
    OK(MOUSE_COMES("\xfa"), "and out of it");
    mouse(0xff);
    OK(MOUSE_COMES("\xfa\xaa\0"), "reset");
    mouse(0xf2);
    OK(MOUSE_COMES("\xfa\0"), "no wheel again");
}

static void test_state(void)
{
    StateBuffer saved = {0};
    char *error = NULL;

    press(KEY_A);
    press(KEY_B);
    device_save(controller, &saved);
    device_reset(controller);
    OK(KEYS_COME(""), "a reset forgets keys");
    OK(device_load(controller, &saved, &error) == 0 && KEYS_COME("\x1e\x9e\x30\xb0"),
       "saved keys come after loading");
    state_buffer_free(&saved);
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    hub = input_new();
    controller = device_new(&device_i8042, &bare.board, NULL);
    device_set_backend(controller, "input", hub, &error);
    device_start(controller, &error);
    device_connect(controller, "keyboard", 0, bare_wire, &bare, KEYBOARD_WIRE);
    device_connect(controller, "mouse", 0, bare_wire, &bare, MOUSE_WIRE);
    device_connect(controller, "a20", 0, bare_wire, &bare, A20_WIRE);
    device_reset(controller);
    test_controller();
    test_sets();
    test_keyboard();
    test_mouse();
    test_wheel();
    test_state();
    device_free(controller);
    input_free(hub);
    bare_stop(&bare);
    return tap_done();
}
