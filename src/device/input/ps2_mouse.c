/* A PS/2 mouse that becomes one with a wheel (IntelliMouse) or with five buttons (Explorer) when
 * the guest knocks. IBM PS/2 Hardware Interface Technical Reference, "Auxiliary device"; Microsoft,
 * "PS/2 Intellimouse and Explorer protocols".
 *
 * Movements add up until a packet can take them: what the guest reads slowly becomes one large
 * movement rather than a queue of small ones. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "device/input/ps2.h"

enum Reply { ACKNOWLEDGE = 0xfa, TEST_PASSED = 0xaa, RESEND = 0xfe };

enum MouseCommand {
    SCALE_SINGLE = 0xe6,
    SCALE_DOUBLE = 0xe7,
    SET_RESOLUTION = 0xe8,
    GET_STATUS = 0xe9,
    STREAM_MODE = 0xea,
    READ_DATA = 0xeb,
    END_WRAP = 0xec,
    WRAP_MODE = 0xee,
    REMOTE_MODE = 0xf0,
    IDENTIFY = 0xf2,
    SET_RATE = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    SET_DEFAULTS = 0xf6,
    SEND_AGAIN = 0xfe,
    RESET_MOUSE = 0xff,
};

/* The first byte of a packet has the first three; the others are of five-button mice. */
enum Button { LEFT = 0x01, RIGHT = 0x02, MIDDLE = 0x04, SIDE = 0x10, EXTRA = 0x20 };
enum { WHEEL_ID = 3, FIVE_BUTTON_ID = 4, PACKET_SIZE = 4, LARGEST_MOVE = 255 };
enum { SUM_LIMIT = 1 << 20 /* of movements that nobody fetches */ };

/* -- Packets */

static s32 clamp(s32 value, s32 low, s32 high)
{
    return MIN(MAX(value, low), high);
}

static s32 add_up(s32 sum, int more)
{
    sum = clamp(sum, -SUM_LIMIT, SUM_LIMIT) + clamp(more, -SUM_LIMIT, SUM_LIMIT);
    return clamp(sum, -SUM_LIMIT, SUM_LIMIT);
}

/* Scaling 2:1, which is for packets that the mouse sends by itself. */
static s32 scaled(const Ps2Mouse *m, s32 move)
{
    static const u8 small[] = {0, 1, 1, 3, 6, 9};
    s32 size = move < 0 ? -move : move, result;

    if (!m->double_scale || m->remote) {
        return move;
    }
    result = size < (s32)COUNT(small) ? small[size] : MIN(2 * size, LARGEST_MOVE);
    return move < 0 ? -result : result;
}

/* Takes what a packet can hold of what has added up. Returns its size. */
static unsigned make_packet(Ps2Mouse *m, u8 *packet)
{
    s32 dx = clamp(m->dx, -LARGEST_MOVE, LARGEST_MOVE);
    s32 dy = clamp(m->dy, -LARGEST_MOVE, LARGEST_MOVE), dz = clamp(m->dz, -8, 7);

    m->dx -= dx;
    m->dy -= dy;
    m->sent_buttons = m->buttons;
    dx = scaled(m, dx);
    dy = scaled(m, dy);
    packet[0] = (u8)(0x08 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
    packet[1] = (u8)dx;
    packet[2] = (u8)dy;
    if (!m->id) {
        m->dz = 0;
        return 3;
    }
    m->dz -= dz;
    packet[3] = (u8)(m->id == FIVE_BUTTON_ID ? (dz & 15) | (m->buttons & (SIDE | EXTRA)) : dz);
    return 4;
}

static bool has_news(const Ps2Mouse *m)
{
    return m->dx || m->dy || (m->dz && m->id) || m->buttons != m->sent_buttons;
}

/* Makes packets while the guest keeps up. */
static void report(Ps2Mouse *m)
{
    u8 packet[PACKET_SIZE];

    while (m->enabled && !m->remote && !m->wrap && has_news(m) && m->queue.size < 2 * PACKET_SIZE) {
        unsigned size = make_packet(m, packet);
        ps2_put(&m->queue, packet, size);
    }
}

static void sync(void *opaque)
{
    Ps2Mouse *m = opaque;

    report(m);
    ps2_tell(&m->queue);
}

/* -- Events */

static void button(void *opaque, unsigned code, bool down)
{
    static const struct {
        u16 code;
        u8 button;
    } buttons[] = {
        {BTN_LEFT, LEFT}, {BTN_RIGHT, RIGHT}, {BTN_MIDDLE, MIDDLE},
        {BTN_SIDE, SIDE}, {BTN_EXTRA, EXTRA},
    };
    Ps2Mouse *m = opaque;

    for (unsigned i = 0; i < COUNT(buttons); i++) {
        if (buttons[i].code == code) {
            u8 bit = buttons[i].button;
            m->buttons = (u8)(down ? m->buttons | bit : m->buttons & ~bit);
            sync(m); /* a click within one group of events is not lost */
        }
    }
}

static void move(void *opaque, int dx, int dy)
{
    Ps2Mouse *m = opaque;

    m->dx = add_up(m->dx, dx);
    m->dy = add_up(m->dy, -MAX(dy, -SUM_LIMIT));
}

static void wheel(void *opaque, int vertical, int horizontal)
{
    Ps2Mouse *m = opaque;

    (void)horizontal;
    m->dz = add_up(m->dz, -MAX(vertical, -SUM_LIMIT));
}

/* -- Commands */

static void reply(Ps2Mouse *m, u8 byte)
{
    ps2_reply(&m->queue, &byte, 1);
}

static void forget_moves(Ps2Mouse *m)
{
    m->dx = m->dy = m->dz = 0;
    m->sent_buttons = m->buttons;
}

static void set_defaults(Ps2Mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->double_scale = m->remote = m->enabled = m->wrap = false;
    m->command = 0;
    forget_moves(m);
}

/* Certain rates in a row ask for more than three buttons. */
static void set_rate(Ps2Mouse *m, u8 rate)
{
    m->rates[2] = m->rates[1];
    m->rates[1] = m->rates[0];
    m->rates[0] = m->rate = rate;
    if (m->rates[2] == 200 && m->rates[1] == 100 && rate == 80) {
        m->id = WHEEL_ID;
    } else if (m->rates[2] == 200 && m->rates[1] == 200 && rate == 80 && m->id == WHEEL_ID) {
        m->id = FIVE_BUTTON_ID;
    }
}

static void send_status(Ps2Mouse *m)
{
    u8 buttons = (u8)((m->buttons & LEFT ? 4 : 0) | (m->buttons & MIDDLE ? 2 : 0) |
                      (m->buttons & RIGHT ? 1 : 0));
    const u8 status[] = {
        ACKNOWLEDGE,
        (u8)(m->remote << 6 | m->enabled << 5 | m->double_scale << 4 | buttons),
        m->resolution,
        m->rate,
    };

    ps2_reply(&m->queue, status, sizeof status);
}

static void send_data(Ps2Mouse *m)
{
    u8 packet[1 + PACKET_SIZE] = {ACKNOWLEDGE};
    unsigned size = make_packet(m, packet + 1);

    ps2_reply(&m->queue, packet, 1 + size);
}

static void write_argument(Ps2Mouse *m, u8 command, u8 byte)
{
    m->command = 0;
    if (command == SET_RATE) {
        set_rate(m, byte);
    } else {
        m->resolution = byte & 3;
    }
    reply(m, ACKNOWLEDGE);
}

/* Commands that set something; false for others. */
static bool set_mode(Ps2Mouse *m, u8 command)
{
    switch (command) {
    case SCALE_SINGLE:
    case SCALE_DOUBLE:
        m->double_scale = command == SCALE_DOUBLE;
        return true;
    case SET_RESOLUTION:
    case SET_RATE:
        m->command = command;
        return true;
    case STREAM_MODE:
    case REMOTE_MODE:
        m->remote = command == REMOTE_MODE;
        forget_moves(m);
        return true;
    case END_WRAP:
    case WRAP_MODE:
        m->wrap = command == WRAP_MODE;
        return true;
    case ENABLE:
    case DISABLE:
        ps2_clear(&m->queue);
        m->enabled = command == ENABLE;
        forget_moves(m);
        return true;
    case SET_DEFAULTS:
        ps2_clear(&m->queue);
        set_defaults(m);
        return true;
    default:
        return false;
    }
}

static void write_command(Ps2Mouse *m, u8 command)
{
    static const u8 passed[] = {ACKNOWLEDGE, TEST_PASSED, 0};
    const u8 identity[] = {ACKNOWLEDGE, m->id};

    if (set_mode(m, command)) {
        reply(m, ACKNOWLEDGE);
        return;
    }
    switch (command) {
    case GET_STATUS:
        send_status(m);
        break;
    case READ_DATA:
        send_data(m);
        break;
    case IDENTIFY:
        ps2_reply(&m->queue, identity, sizeof identity);
        break;
    case SEND_AGAIN:
        reply(m, m->queue.last);
        break;
    case RESET_MOUSE:
        ps2_mouse_reset(m);
        ps2_reply(&m->queue, passed, sizeof passed);
        break;
    default:
        reply(m, RESEND);
        break;
    }
}

void ps2_mouse_write(Ps2Mouse *m, u8 byte)
{
    if (m->wrap && byte != END_WRAP && byte != RESET_MOUSE) {
        reply(m, byte);
    } else if (m->command && byte < SCALE_SINGLE) {
        write_argument(m, m->command, byte);
    } else {
        m->command = 0;
        write_command(m, byte);
    }
}

bool ps2_mouse_take(Ps2Mouse *m, u8 *byte)
{
    report(m);
    return ps2_take(&m->queue, byte);
}

/* -- Life */

void ps2_mouse_start(Ps2Mouse *m, InputHub *input, void (*ready)(void *opaque), void *opaque)
{
    m->queue.ready = ready;
    m->queue.opaque = opaque;
    m->input = input;
    m->listener = (InputListener){
        .opaque = m,
        .button = button,
        .move = move,
        .wheel = wheel,
        .sync = sync,
    };
    if (input) {
        input_add(input, &m->listener);
    }
}

void ps2_mouse_stop(Ps2Mouse *m)
{
    if (m->input) {
        input_remove(m->input, &m->listener);
    }
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    ps2_clear(&m->queue);
    m->id = 0;
    memset(m->rates, 0, sizeof m->rates);
    set_defaults(m);
}

void ps2_mouse_check(Ps2Mouse *m)
{
    ps2_check(&m->queue);
    m->dx = add_up(m->dx, 0);
    m->dy = add_up(m->dy, 0);
    m->dz = add_up(m->dz, 0);
}

const StateField ps2_mouse_state[] = {
    {"queue", offsetof(Ps2Mouse, queue), sizeof(Ps2Queue), 1, ps2_queue_state, STATE_VALUE},
    STATE(Ps2Mouse, id),
    STATE(Ps2Mouse, enabled),
    STATE(Ps2Mouse, remote),
    STATE(Ps2Mouse, wrap),
    STATE(Ps2Mouse, double_scale),
    STATE(Ps2Mouse, resolution),
    STATE(Ps2Mouse, rate),
    STATE_ARRAY(Ps2Mouse, rates),
    STATE(Ps2Mouse, command),
    STATE(Ps2Mouse, buttons),
    STATE(Ps2Mouse, sent_buttons),
    STATE(Ps2Mouse, dx),
    STATE(Ps2Mouse, dy),
    STATE(Ps2Mouse, dz),
    STATE_END,
};
