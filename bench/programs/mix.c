/* A mix in the proportions of embedded benchmarks: linked lists sorted and searched, small integer
 * matrices, a state machine over text, and a CRC over all results. */
#include "bench.h"

enum { NODES = 64, SIDE = 12 };

struct node {
    struct node *next;
    int16_t key, value;
};

static uint16_t crc16(uint16_t crc, uint16_t data)
{
    for (int bit = 0; bit < 16; bit++) {
        int carry = (crc ^ data) & 1;
        crc = (uint16_t)(crc >> 1 ^ (carry ? 0xa001 : 0));
        data >>= 1;
    }
    return crc;
}

static struct node *merge(struct node *a, struct node *b, int by_key)
{
    struct node head, *tail = &head;
    while (a && b) {
        int a_first = by_key ? a->key <= b->key : a->value <= b->value;
        struct node **from = a_first ? &a : &b;
        tail->next = *from;
        tail = *from;
        *from = (*from)->next;
    }
    tail->next = a ? a : b;
    return head.next;
}

static struct node *sort(struct node *list, int by_key)
{
    struct node *slow = list, *fast = list;
    if (!list || !list->next) {
        return list;
    }
    while (fast->next && fast->next->next) {
        slow = slow->next;
        fast = fast->next->next;
    }
    struct node *second = slow->next;
    slow->next = NULL;
    return merge(sort(list, by_key), sort(second, by_key), by_key);
}

static uint16_t lists(uint64_t *seed, uint16_t crc)
{
    static struct node nodes[NODES];
    struct node *list = NULL;
    for (int i = 0; i < NODES; i++) {
        nodes[i] = (struct node){list, (int16_t)bench_random(seed), (int16_t)i};
        list = &nodes[i];
    }
    list = sort(list, 1);
    for (int i = 0; i < 16; i++) {
        int16_t wanted = (int16_t)(bench_random(seed) % NODES);
        struct node *n = list;
        while (n && n->value != wanted) {
            n = n->next;
        }
        crc = crc16(crc, (uint16_t)(n ? n->key : 1));
    }
    list = sort(list, 0);
    return crc16(crc, (uint16_t)list->key);
}

static uint16_t matrices(uint64_t *seed, uint16_t crc)
{
    static int16_t a[SIDE][SIDE], b[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (int16_t)(bench_random(seed) % 256);
            b[i][j] = (int16_t)(i * j + 1);
        }
    }
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            int32_t sum = 0;
            for (int k = 0; k < SIDE; k++) {
                sum += a[i][k] * b[k][j];
            }
            crc = (uint16_t)(crc + (sum >> 3 & 0xfff));
        }
    }
    return crc;
}

enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, INVALID, STATES };

static enum state step(enum state state, char c)
{
    int digit = c >= '0' && c <= '9';
    switch (state) {
    case START:
        return digit ? INTEGER : c == '-' || c == '+' ? SIGN : c == '.' ? POINT : INVALID;
    case SIGN:
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case POINT:
    case FRACTION:
        return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT:
        return digit || c == '-' || c == '+' ? EXPONENT : INVALID;
    default:
        return INVALID;
    }
}

static uint16_t states(uint16_t crc)
{
    static const char *const words[] = {"5012",     "-874",     "+122",     ".1234500",
                                        "35.54400", "-110.700", "5.500e+3", "-.123e-2",
                                        "T0.3e-1F", "1.2.3",    "++1",      "x"};
    uint16_t counts[STATES] = {0};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        enum state state = START;
        for (const char *c = words[i]; *c && state != INVALID; c++) {
            state = step(state, *c);
            counts[state]++;
        }
    }
    for (int i = 0; i < STATES; i++) {
        crc = crc16(crc, counts[i]);
    }
    return crc;
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t seed = 1;
    uint16_t crc = 0;
    for (int i = 0; i < size; i++) {
        crc = lists(&seed, crc);
        crc = matrices(&seed, crc);
        crc = states(crc);
    }
    return bench_result(crc);
}
