/* Typing on behalf of the user: presses and releases in a queue, one each KEY_NS of virtual time,
 * or when the guest has taken those before; a guest that takes none is not waited for any longer
 * than PATIENCE times. */
#include <stdlib.h>

#include "machine/machine.h"

enum { KEY_NS = 20000000, PATIENCE = 500 };

typedef struct KeyEvent {
    unsigned code;
    bool down;
} KeyEvent;

struct KeyQueue {
    Machine *machine;
    Timer timer;
    KeyEvent *events;
    u32 first, count, room;
    u32 waited;
};

static void type_next(void *opaque)
{
    struct KeyQueue *queue = opaque;
    u64 next = clock_now(queue->machine->board.clock) + KEY_NS;

    if (input_is_busy(queue->machine->input) && queue->waited++ < PATIENCE) {
        timer_set(&queue->timer, next);
        return;
    }
    KeyEvent event = queue->events[queue->first++];
    queue->waited = 0;
    input_key(queue->machine->input, event.code, event.down);
    input_sync(queue->machine->input);
    if (queue->first < queue->count) {
        timer_set(&queue->timer, next);
    } else {
        queue->first = queue->count = 0;
    }
}

static void append(struct KeyQueue *queue, KeyEvent event)
{
    if (queue->count == queue->room) {
        queue->room = queue->room * 2 + 64;
        queue->events = realloc(queue->events, queue->room * sizeof *queue->events);
        if (!queue->events) {
            abort();
        }
    }
    queue->events[queue->count++] = event;
}

void machine_type_keys(Machine *machine, const unsigned *codes, u32 count)
{
    struct KeyQueue *queue = machine->keys;

    for (u32 i = 0; i < count; i++) {
        append(queue, (KeyEvent){codes[i], true});
    }
    for (u32 i = count; i-- > 0;) {
        append(queue, (KeyEvent){codes[i], false});
    }
    if (count && !timer_is_set(&queue->timer)) {
        timer_set(&queue->timer, clock_now(machine->board.clock));
    }
}

void typing_start(Machine *machine)
{
    machine->keys = calloc(1, sizeof *machine->keys);
    if (!machine->keys) {
        abort();
    }
    machine->keys->machine = machine;
    timer_init(&machine->keys->timer, machine->board.clock, type_next, machine->keys);
}

void typing_stop(Machine *machine)
{
    if (machine->keys) {
        timer_cancel(&machine->keys->timer);
        free(machine->keys->events);
        free(machine->keys);
    }
}
